"""Writes the page of published results: ``README.md`` beside this file.

    python -m experiments.reproduction [--page]

Computes what needs no weights and no data into ``computed.json``, then the page;
``--page`` takes the numbers as they are there.
"""

import argparse
import json
import sys

from rich.console import Console
from rich.progress import track

from diffusion_audio.errors import UserError, shortened
from experiments.reproduction.ledger import HERE, Ledger, read
from experiments.reproduction.page import key, page

COMPUTED = HERE / "computed.json"
README = HERE / "README.md"


def main() -> None:
    """Computes and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", action="store_true", help="compute nothing")
    words = parser.parse_args()
    try:
        ledger = read()
        numbers = kept(ledger) if words.page else computed(ledger)
        README.write_text(page(ledger, numbers), encoding="utf-8")
    except UserError as error:
        sys.exit(str(error))


def computed(ledger: Ledger) -> dict[str, float]:
    """Every number of the ledger that can be computed, which are also written."""
    from experiments.reproduction.measured import measure

    numbers = {}
    screen = Console(stderr=True)
    for family, row in track(list(ledger.checks()), "computing", console=screen):
        numbers[key(family, row.what)] = measure(row.compute)
    COMPUTED.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    return numbers


def kept(ledger: Ledger) -> dict[str, float]:
    """The numbers of the last computation.

    Raises:
        UserError: the ledger has other rows since.
    """
    numbers = json.loads(COMPUTED.read_text(encoding="utf-8"))
    asked = {key(family, row.what) for family, row in ledger.checks()}
    if changed := sorted(asked ^ set(numbers)):
        raise UserError(
            f"{COMPUTED.name} is of other rows ({shortened(', '.join(changed))}); run "
            "without --page"
        )
    return numbers


if __name__ == "__main__":
    main()
