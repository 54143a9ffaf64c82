"""The lock and setup.py agree, and the lock installs anywhere."""

import ast
import itertools
import re
import sys
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


def lists():
    """The lists of requirements in setup.py, by name."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    return {
        node.targets[0].id: [
            Requirement(item.value)
            for item in node.value.elts
            if isinstance(item, ast.Constant)
        ]
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
    }


def test_the_lock_pins_what_setup_asks_for():
    locked = pins()
    assert set(lists()) == {"CORE", "TEST", "LINT", "PARITY"}
    for requirement in itertools.chain(*lists().values()):
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


# Of the extra `speech`: imported where they are needed, which says what to install.
OPTIONAL = {"phonemizer", "espeakng_loader"}


def test_the_library_imports_only_what_setup_asks_for():
    """Beside the standard library; markupsafe is jinja2's own, and see `OPTIONAL`."""
    distributions = metadata.packages_distributions()
    core = {canonicalize_name(need.name) for need in lists()["CORE"]}
    for path in (ROOT / "diffusion_audio").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in {name.split(".")[0] for name in names}:
                if name in {*sys.stdlib_module_names, "diffusion_audio", "markupsafe"}:
                    continue
                if name in OPTIONAL:
                    continue
                owners = map(canonicalize_name, distributions[name])
                assert core & set(owners), f"{name} in {path}"


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
