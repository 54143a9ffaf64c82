r"""A captioned folder of real recordings, gathered from packages of Debian.

Voices with their transcripts, samples, instruments of a sound font, music, and sounds
of desktops and games: about three hours under free licences.

    pip install G722 tinysoundfont          # decode the voices, play the instruments
    python benchmarks/recorded_set.py DIR [--packages=DIR]
    diffusion-audio data check folder:DIR
    diffusion-audio train --config=configs/vae.py:folder --workdir=runs/vae \
        --config.data.source=folder:DIR

Needs ``apt-get`` and ``dpkg-deb``; nothing is installed by it. DIR gets the clips,
``metadata.csv`` and, in ``licences``, what each package says of its own. A source
(speaker, author, instrument, theme, game, album) is in one split alone, so that
validation and test hold what training has not heard. The same packages give the same
folder.
"""

import argparse
import csv
import gzip
import hashlib
import itertools
import re
import shutil
import subprocess
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from rich.progress import track

VOICES = {  # by the ending of their package
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "ru": "Russian",
}
WHO = {"f": "a woman", "m": "a man"}
G722_RATE, FONT_RATE = 16_000, 44_100
GROUPS = {  # first word of a sample of Sonic Pi: what it is
    "ambi": "an ambient sound",
    "bass": "a synthesizer bass",
    "bd": "a bass drum",
    "drum": "a drum kit",
    "elec": "an electronic sound",
    "glitch": "a glitch",
    "guit": "a guitar",
    "loop": "a rhythmic loop",
    "mehackit": "a robotic sound",
    "misc": "a sound",
    "perc": "percussion",
    "sn": "a snare drum",
    "tabla": "a tabla",
    "vinyl": "a vinyl record",
}
EFFECTS = {  # package: what its sounds are
    "sound-theme-freedesktop": "a desktop sound",
    "oxygen-sounds": "a desktop sound",
    "pingus-data": "a game sound",
    "tuxpaint-data": "a sound of a drawing program",
    "chromium-bsu-data": "a game sound",
    "neverball-data": "a game sound",
}
EFFECT_SUFFIXES = (".wav", ".ogg", ".oga")
SPLITS = {  # of sources that are large; others go by a hash of their names
    "voice of Allison": "train",  # English and Spanish
    "voice of June": "train",
    "voice of Carlo": "validation",
    "voice of IvrvoiceRU": "test",
    "oxygen-sounds": "train",
    "tuxpaint-data": "train",
    "pingus-data": "train",
    "sound-theme-freedesktop": "train",  # shares a sound with Oxygen's
    "chromium-bsu-data": "validation",
    "neverball-data": "test",
}
NOTES = {"C3": 48, "G3": 55, "E4": 64, "C5": 72}
DRUMS = {
    **{35: "bass drum", 38: "snare drum", 42: "closed hi-hat", 46: "open hi-hat"},
    **{47: "tom", 49: "crash cymbal", 51: "ride cymbal", 56: "cowbell"},
}
HELD, FADING = 1.5, 1.0  # seconds of a note, and after it
LEVEL = 0.5  # of full scale, at which no instrument clips
MOST = 900  # characters of what is said: a caption may have 1000
SILENCE = 1e-3  # of full scale; presets that have no sound at a pitch stay below


class Clip(NamedTuple):
    """A clip of the set.

    Attributes:
        name: of its file, from DIR.
        caption: what is heard.
        source: whose it is; all of one source are in one split.
        package: that it comes from.
        write: puts it at a path.
    """

    name: str
    caption: str
    source: str
    package: str
    write: Callable[[Path], None]


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", type=Path, help="keeps what is downloaded")
    words = parser.parse_args()
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            parser.error(f"{program} is not here; this needs Debian or its like")
    try:
        import G722  # noqa: F401
        import tinysoundfont  # noqa: F401
    except ImportError as error:
        parser.error(f"{error}; pip install G722 tinysoundfont")
    if words.folder.exists():
        parser.error(f"{words.folder} is there already; name a folder that is not")
    with tempfile.TemporaryDirectory() as scratch:
        packages = words.packages or Path(scratch) / "packages"
        gather(words.folder, Packages(packages, Path(scratch) / "unpacked"))


class Packages:
    """Debian packages, downloaded and unpacked when they are asked for."""

    def __init__(self, kept: Path, unpacked: Path) -> None:
        self._kept, self._unpacked = kept, unpacked

    def __call__(self, name: str) -> Path:
        """The root of what a package would install."""
        root = self._unpacked / name
        if not root.exists():
            self._kept.mkdir(parents=True, exist_ok=True)
            if not list(self._kept.glob(f"{name}_*.deb")):
                command = ["apt-get", "download", "--quiet", name]
                subprocess.run(command, check=True, cwd=self._kept)
            [archive] = self._kept.glob(f"{name}_*.deb")
            root.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["dpkg-deb", "--extract", archive, root], check=True)
        return root


def gather(folder: Path, packages: Callable[[str], Path]) -> None:
    """Writes clips, licences and the table."""
    makers = (voices, music, samples, effects, instruments)
    clips = itertools.chain.from_iterable(maker(packages) for maker in makers)
    licences = folder / "licences"
    licences.mkdir(parents=True)
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "caption", "split", "source", "package"])
        for clip in track(clips, "gathering", total=None):
            path = folder / clip.name
            path.parent.mkdir(parents=True, exist_ok=True)
            clip.write(path)
            row = [clip.name, clip.caption, split(clip.source)]
            table.writerow([*row, clip.source, clip.package])
            if not (licences / clip.package).exists():
                told = Path("usr/share/doc", clip.package, "copyright")
                shutil.copy(packages(clip.package) / told, licences / clip.package)


def split(source: str) -> str:
    """Where a source belongs: of those that are not large a tenth each is kept out."""
    drawn = int(hashlib.sha256(source.encode()).hexdigest(), 16) % 10
    return SPLITS.get(source, {8: "validation", 9: "test"}.get(drawn, "train"))


def voices(packages: Callable[[str], Path]) -> Iterator[Clip]:
    """What telephone exchanges say, in five languages by four speakers."""
    for ending, language in VOICES.items():
        package = f"asterisk-core-sounds-{ending}-g722"
        texts = f"asterisk-core-sounds-{ending}"
        name = f"usr/share/doc/{texts}/core-sounds-{ending}.txt.gz"
        said = transcripts(gzip.decompress((packages(texts) / name).read_bytes()))
        [root] = (packages(package) / "usr/share/asterisk/sounds").iterdir()
        *_, sex, speaker = root.name.split("_")
        for path in sorted(root.rglob("*.g722")):
            key = path.relative_to(root).with_suffix("").as_posix()
            if text := said.get(key):
                text = textwrap.shorten(text, MOST, placeholder=" ...")
                caption = f'{WHO[sex]} says in {language}: "{text}"'
                name = f"voices/{ending}/{key.replace('/', '-')}.flac"
                source = f"voice of {speaker}"
                yield Clip(name, caption, source, package, _decoded(path))


def transcripts(data: bytes) -> dict[str, str]:
    """What is said in each file; not of those where nobody speaks."""
    found = {}
    for line in data.decode("utf-8-sig").splitlines():
        key, colon, text = line.partition(":")
        text = " ".join(re.sub(r"\s\[.\]", "", text).split())
        if colon and not line.startswith(";") and text and not text.startswith("["):
            found[key.strip()] = text
    return found


def music(packages: Callable[[str], Path]) -> Iterator[Clip]:
    """Pieces that play while one waits."""
    package = "asterisk-moh-opsound-g722"
    for path in sorted((packages(package) / "usr/share/asterisk/moh").glob("*.g722")):
        artist, _, title = path.stem.partition("-")
        caption = f"electronic music, {words_of(title)}"
        source = f"music of {words_of(artist)}"
        name = f"music/{path.stem}.flac"
        yield Clip(name, caption, source, package, _decoded(path))


def samples(packages: Callable[[str], Path]) -> Iterator[Clip]:
    """Sonic Pi's samples, all CC0, by their authors on Freesound."""
    package = "sonic-pi-samples"
    root = packages(package) / "usr/share/sonic-pi/samples"
    whose = authors((root / "README.md").read_text(encoding="utf-8"))
    for path in sorted(root.glob("*.flac")):
        source = f"samples of {whose.get(path.stem, 'nobody named')}"
        caption = sample_caption(path.stem)
        yield Clip(f"samples/{path.name}", caption, source, package, _copied(path))


def authors(readme: str) -> dict[str, str]:
    """Author of each sample, from the links of its README."""
    return dict(re.findall(r"`:(\w+)`.*/people/([^/\s]+)/", readme))


def sample_caption(stem: str) -> str:
    """What a sample's name says: its group, and the words after it."""
    group, _, rest = stem.partition("_")
    about = GROUPS.get(group, f"a sound of {group}")
    return f"{about}, {words_of(rest)}" if rest else about


def effects(packages: Callable[[str], Path]) -> Iterator[Clip]:
    """Sounds of desktops and games, captioned by their names."""
    for package, about in EFFECTS.items():
        root = packages(package) / "usr/share"
        for path in sorted(root.rglob("*")):
            # Of a sound under two names one is a link.
            if path.suffix in EFFECT_SUFFIXES and not path.is_symlink():
                words = words_of(path.stem.removeprefix("Oxygen-"))
                within = path.relative_to(root).as_posix().replace("/", "-")
                name = f"effects/{package}/{within}"
                yield Clip(name, f"{about}, {words}", package, package, _copied(path))


def words_of(name: str) -> str:
    """Words of a file's name: signs and capitals part them."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", name)
    parted = re.sub(r"(?<=[A-Za-z])(?=\d)", " ", parted)
    return " ".join(parted.split()).lower()


def instruments(packages: Callable[[str], Path]) -> Iterator[Clip]:
    """Each instrument of a sound font at some pitches, and drums."""
    import tinysoundfont

    package = "fluid-soundfont-gm"
    font = packages(package) / "usr/share/sounds/sf2/FluidR3_GM.sf2"
    synth = tinysoundfont.Synth(samplerate=FONT_RATE)
    loaded = synth.sfload(str(font))

    def play(bank: int, program: int, key: int) -> np.ndarray:
        synth.sounds_off()
        synth.program_select(0, loaded, bank, program)
        synth.noteon(0, key, 100)
        held = bytes(synth.generate(round(HELD * FONT_RATE)))
        synth.noteoff(0, key)
        fading = bytes(synth.generate(round(FADING * FONT_RATE)))
        return LEVEL * np.frombuffer(held + fading, np.float32).reshape(-1, 2)

    kit = [(128, 0, key, f"a {drum} of a drum kit") for key, drum in DRUMS.items()]
    for bank, program, key, caption in [
        (0, program, key, f"{instrument}, a note at {pitch}")
        for program in range(128)
        if (instrument := words_of(synth.sfpreset_name(loaded, 0, program)))
        for pitch, key in NOTES.items()
    ] + kit:
        wave = play(bank, program, key)
        if np.abs(wave).max() < SILENCE:
            continue
        source = f"instrument {program}" if bank == 0 else "drum kit"
        name = f"instruments/{bank:03d}-{program:03d}-{key:03d}.flac"
        yield Clip(name, caption, source, package, _played(wave))


def _played(wave: np.ndarray) -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, wave, FONT_RATE, subtype="PCM_16")


def _copied(source: Path) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        shutil.copyfile(source, path)

    return write


def _decoded(source: Path) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import G722

        decoder = G722.G722(G722_RATE, 64_000)
        wave = np.array(decoder.decode(source.read_bytes()), np.int16)
        soundfile.write(path, wave, G722_RATE, subtype="PCM_16")

    return write


if __name__ == "__main__":
    main()
