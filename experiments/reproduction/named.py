"""Gives generated clips the names of the clips whose captions they were made of.

    python -m experiments.reproduction.named GENERATED CAPTIONS OUT

`generate --prompts=CAPTIONS` numbers its files, and `score` pairs clips by the stems of
their names. Of several candidates of a prompt the nearest to it is taken, which is how
AudioLDM and AudioLDM 2 report their numbers. Files are copied; OUT must not be there.
"""

import argparse
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from diffusion_audio.data.metadata import read_table
from diffusion_audio.data.text import clean
from diffusion_audio.errors import UserError, shortened
from diffusion_audio.generation.index import INDEX, read_index

Clip = dict[str, Any]  # of an index


def main() -> None:
    """Copies, and prints the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("generated", "captions", "out"):
        parser.add_argument(name, type=Path)
    words = parser.parse_args()
    try:
        copy(words.generated, words.captions, words.out)
    except UserError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{words.out}\n")


def copy(generated: Path, captions: Path, out: Path) -> None:
    """Copies one clip a row of the captions, under the stem of the row's file.

    Args:
        generated: a folder that `generate` wrote, complete.
        captions: the table that was its ``--prompts``.
        out: a folder that is made.

    Raises:
        UserError: the folder was made of other captions, is not complete, or its
            candidates have no ranks; or the new one is there already.
    """
    rows = [row for row in read_table(captions).rows if any(map(clean, row.captions))]
    index = read_index(generated)
    files, each = index.get("files", []), index.get("num_candidates", 1)
    if not index.get("complete") or len(files) != each * len(rows):
        raise UserError(
            f"{generated / INDEX}: expected {each * len(rows)} clips of {captions}, "
            f"got {len(files)}; generate with --prompts={captions} to the end"
        )
    if out.exists():
        raise UserError(f"{out} is there already; name a folder that is not")
    stems = [PurePosixPath(row.file_name).stem for row in rows]
    if twice := {stem for stem in stems if stems.count(stem) > 1}:
        raise UserError(f"{captions}: several rows are of {shortened(min(twice))}")
    for row, clip in zip(rows, best := _best(generated, files, each), strict=True):
        if clean(clip["prompt"]) not in map(clean, row.captions):
            raise UserError(
                f"{row.where}: {clip['file']} was made of {clip['prompt']!r}, another "
                f"caption; generate with --prompts={captions}"
            )
    out.mkdir(parents=True)
    for stem, clip in zip(stems, best, strict=True):
        shutil.copy(generated / clip["file"], out / f"{stem}.wav")


def _best(generated: Path, files: list[Clip], each: int) -> list[Clip]:
    """Of the candidates of each prompt, the one of rank 1."""
    if each == 1:
        return files
    best = [clip for clip in files if clip.get("rank") == 1]
    if len(best) * each != len(files):
        raise UserError(
            f"{generated / INDEX}: candidates without ranks, for the model has no "
            "whole CLAP; generate with --num_candidates=1"
        )
    return best


if __name__ == "__main__":
    main()
