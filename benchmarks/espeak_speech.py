r"""A folder of synthetic speech, for training vocoders where no recordings are at hand.

Random sentences of a small vocabulary, spoken by the voices of espeak-ng (a package of
most systems) at random speeds and pitches; with a transcript each in metadata.csv. The
same seed gives the same files.

    python benchmarks/espeak_speech.py DIR --clips=600
    diffusion-audio train --config=configs/vocoder.py:speech --workdir=runs/speech \
        --config.data.source=folder:DIR
    diffusion-audio evaluate --model=runs/speech --out=runs/speech_page
"""

import argparse
import csv
import shutil
import subprocess
from pathlib import Path

import numpy as np
from rich.progress import track

ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-029")
VOICES = tuple(f"m{i}" for i in range(1, 8)) + tuple(f"f{i}" for i in range(1, 5))
WORDS = {
    "who": "the captain|my sister|a young farmer|every student|the old doctor|our "
    "neighbour|a quiet stranger|the chief engineer|nobody here|the whole village",
    "does": "carries|has forgotten|is looking for|quickly finished|would never sell|"
    "painted|keeps asking about|found|measured|almost dropped",
    "what": "a bag of green apples|the broken window|seven yellow boxes|her brother's "
    "violin|that strange machine|a map of the river|the last question|some fresh bread",
    "where": "near the station|in the garden|on the way home|under the bridge|beside "
    "the church|at the edge of the forest|behind the house|across the valley",
    "when": "before breakfast|on Thursday|in the middle of the night|after the storm|"
    "every other week|as usual|for the third time|shortly after five",
}


def sentence(rng: np.random.Generator) -> str:
    """One of some 64,000."""
    return " ".join(str(rng.choice(words.split("|"))) for words in WORDS.values())


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    program = shutil.which("espeak-ng")
    if program is None:
        parser.error("espeak-ng is not installed; see your system's packages")
    args.folder.mkdir(parents=True)
    rng = np.random.default_rng(args.seed)
    with (args.folder / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "caption"])
        for i in track(range(args.clips), "speaking"):
            text, name = sentence(rng), f"{i:05d}.wav"
            voice = f"{rng.choice(ACCENTS)}+{rng.choice(VOICES)}"
            command = [program, "-v", voice, "-w", str(args.folder / name)]
            command += ["-s", str(rng.integers(130, 190)), "-p"]
            command += [str(rng.integers(25, 75)), text]
            subprocess.run(command, check=True)
            table.writerow([name, text])


if __name__ == "__main__":
    main()
