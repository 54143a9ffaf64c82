"""A fault as data: which text of which file becomes which other text.

They are kept in ``tests/mutants/*.toml``, a file a room. What stands on top of a file
holds for each of its faults::

    tests = ["tests/diffusion/test_guidance.py::test_ends"]

    [guidance-swapped]                 # the fault's name
    file = "diffusion_audio/diffusion/guidance.py"
    old = "cond, uncond = jnp.split("  # occurs in the file exactly once
    new = "uncond, cond = jnp.split("
"""

import tomllib
from pathlib import Path
from typing import NamedTuple

FIELDS = {"file", "old", "new", "tests"}


class Fault(NamedTuple):
    """One change that makes the code wrong.

    Attributes:
        name: of the fault, unique.
        file: that is changed, from the root of the tree.
        old: text of the file, which occurs once.
        new: what takes its place.
        tests: files of tests, or single ones (``file::test``), of which one must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def read_faults(folder: Path) -> dict[str, Fault]:
    """Every fault of the TOML files of a folder, by name.

    Raises:
        ValueError: a field is unknown or lacks, or a name stands there twice.
    """
    faults: dict[str, Fault] = {}
    for path in sorted(folder.glob("*.toml")):
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        common = {key: tables.pop(key) for key in FIELDS & tables.keys()}
        for name, own in tables.items():
            fields = common | own
            if fields.keys() != FIELDS:
                wrong = ", ".join(sorted(fields.keys() ^ FIELDS))
                raise ValueError(f"{path.name}: {name} lacks or does not know {wrong}")
            if name in faults:
                raise ValueError(f"{path.name}: {name} is in the list twice")
            faults[name] = Fault(name, **fields | {"tests": tuple(fields["tests"])})
    return faults


def changed(root: Path, fault: Fault) -> str:
    """The text of the fault's file with the fault in it.

    Raises:
        ValueError: the old text does not occur exactly once, or nothing changes.
    """
    text = (root / fault.file).read_text(encoding="utf-8")
    times = text.count(fault.old)
    if times != 1:
        raise ValueError(
            f"{fault.name}: expected its old text once in {fault.file}, found it "
            f"{times} times; bring the list up to date"
        )
    if fault.old == fault.new:
        raise ValueError(f"{fault.name}: the new text is the old one")
    return text.replace(fault.old, fault.new)
