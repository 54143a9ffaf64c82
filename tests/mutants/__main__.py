"""``python -m tests.mutants [NAME ...]``, by ``make mutants``: tries faults.

The exit status is 1 where a fault survives.
"""

import sys
from pathlib import Path

from rich.console import Console

from tests.mutants.faults import read_faults
from tests.mutants.runner import survivors

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def main(names: list[str]) -> int:
    """Tries the faults of these names, or all."""
    faults = read_faults(HERE)
    if missing := sorted(set(names) - faults.keys()):
        raise SystemExit(f"no fault {', '.join(missing)}; known: {', '.join(faults)}")
    chosen = {name: faults[name] for name in names or faults}
    left = survivors(ROOT, chosen, Console())
    killed = len(chosen) - len(left)
    sys.stdout.write(f"{killed} of {len(chosen)} faults killed\n")
    if left:
        sys.stdout.write(f"SURVIVED: {', '.join(left)}\n")
    return bool(left)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
