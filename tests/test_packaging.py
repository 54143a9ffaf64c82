"""The lock and setup.py agree, and the lock installs anywhere."""

import ast
import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.]*)")


def pins():
    """Name -> version, of each line that is no comment."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = {}
    for line in filter(None, (line.split("#")[0].strip() for line in lines)):
        match = PIN.fullmatch(line)  # no URL, no path, no local version, no range
        assert match, line
        name = canonicalize_name(match[1])
        assert name not in found
        found[name] = match[2]
    return found


def requirements():
    """Everything that setup.py asks for, but what only the tfds extra brings."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    lists = {
        node.targets[0].id: node.value.elts
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
    }
    assert set(lists) == {"CORE", "TEST", "LINT", "PARITY"}
    return [
        Requirement(item.value)
        for items in lists.values()
        for item in items
        if isinstance(item, ast.Constant)
    ]


def test_the_lock_pins_what_setup_asks_for():
    locked = pins()
    for requirement in requirements():
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_the_lock_is_closed():
    """What the locked packages need is locked too."""
    locked = pins()
    extras_of_ours = {"test", "lint", "parity"}
    for name in ["diffusion-audio", *locked]:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another extra than is installed
            continue
        extras = extras_of_ours if name == "diffusion-audio" else {""}
        for need in map(Requirement, needs):
            marker = need.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in extras):
                assert canonicalize_name(need.name) in locked, f"{need} of {name}"
