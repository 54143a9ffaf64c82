"""Copy synthesis of files: recordings, or saved log-mels, to what a vocoder makes.

In a folder a file that cannot be used is named and passed over, and the rest is made.
"""

import contextlib
import errno
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from absl import logging

from diffusion_audio.audio import files, mel_files
from diffusion_audio.audio.decoders import Decode, decoding
from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.audio.mel_range import require_log_mel, value_range
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.generation.recordings import MEL, SUFFIXES, listed
from diffusion_audio.generation.vocode import load_voice, resynthesize
from diffusion_audio.outputs import record, require_writable
from diffusion_audio.runs.chosen import Chosen, choose

WRITTEN = (".wav", ".flac")
_OF_A_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
_BLOCK = 4096  # frames of a saved mel that are read at a time

PassOver = Callable[[UserError], None]


def vocode(
    model: str | Path,
    source: str | Path,
    out: str | Path,
    *,
    mel_axes: str | None = None,
    seconds: float = 4.0,
    batch_size: int = 4,
    overwrite: bool = False,
    pass_over: PassOver = logging.warning,
) -> Iterator[Path]:
    """Copy synthesis of an audio file or a saved log-mel, or of all in a folder.

    Args:
        model: a vocoder's run, or converted weights.
        source: a file, or a folder whose files at any depth are taken. A ``.npy`` file
            holds a log-mel as the vocoder's spec has it; see `audio.mel_files`.
        out: a .wav or .flac file; or a folder, where files get their names as .wav, and
            those that differ only in the suffix keep it: ``a.mp3.wav``.
        mel_axes: order of saved mels, one of `mel_files.AXES`; found where None.
        seconds: length of a window, which memory grows with.
        batch_size: windows of a batch.
        overwrite: files that were not made here may be replaced; see `outputs`.
        pass_over: called with what is wrong with a file of a folder.

    Returns:
        The paths, each once it is written, at the vocoder's rate. The record of outputs
        beside them has the model, and the step of a run that was read.

    Raises:
        UserError: the file, or all in the folder, cannot be used; nothing is written
            where that is known from headers.
    """
    source, out = Path(source), Path(out)
    if not source.exists():
        raise AudioFileError("missing", source, "no such file")
    targets = _targets(source, out, pass_over)
    require_writable(targets.values(), inputs=targets, overwrite=overwrite)
    vocoder = load_voice(model)
    made_by = str(Chosen(choose(model).place, vocoder.step))
    spec, several = vocoder.spec, source.is_dir()
    wrong: dict[Path, UserError] = {}

    def open_blocks(path: Path) -> Iterator[np.ndarray]:
        if path.suffix.lower() == MEL:
            return _mel_blocks(path, spec, mel_axes)
        return decode(files.blocks, path, spec.sample_rate)

    def loaded(path: Path) -> Iterator[np.ndarray]:
        """A file's blocks, up to where it turns out to be bad."""
        try:
            yield from open_blocks(path)
        except (UserError, UnicodeError) as error:
            wrong[path] = _named(path, error)

    def whole(path: Path, waves: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        yield from waves
        if path in wrong:  # so that what is made of a part is not kept
            raise wrong[path]

    def make() -> Iterator[Path]:
        with open_decoders:
            yield from make_each()
        for path in targets:  # in order, those that gave nothing at all too
            if path in wrong:
                if not several:
                    raise wrong[path]
                pass_over(wrong[path])

    def make_each() -> Iterator[Path]:
        clips = ((path, loaded(path)) for path in targets)
        for path, waves in resynthesize(
            vocoder, clips, seconds=seconds, batch_size=batch_size
        ):
            target = targets[path]
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                files.write_blocks(target, whole(path, waves), spec.sample_rate)
            except (UserError, OSError, UnicodeError) as error:
                if path not in wrong and not _is_of_the_name(error):
                    raise
                wrong.setdefault(path, _named(path, error))
            else:
                record(target, "vocode", model=made_by)
                yield target

    with contextlib.ExitStack() as stack:
        decode = stack.enter_context(decoding(1))  # clips come one after the other
        for path in list(targets):
            try:
                _probe(path, spec, mel_axes, decode)
            except (UserError, UnicodeError) as error:
                if not several:
                    raise _named(path, error)  # noqa: B904 (it may be the error itself)
                pass_over(_named(path, error))
                del targets[path]
        if not targets:
            raise UserError(f"{source}: none of its files can be used")
        open_decoders = stack.pop_all()
    return make()


def _targets(source: Path, out: Path, pass_over: PassOver) -> dict[Path, Path]:
    """Every file to read, and where what is made of it goes."""
    suffix = out.suffix.lower()
    names_a_file = suffix in (*SUFFIXES, MEL) and not out.is_dir()
    if not source.is_dir():
        if names_a_file and suffix not in WRITTEN:
            raise UserError(
                f"{out}: can write {' and '.join(WRITTEN)} files, not {suffix}"
            )
        return {source: out if names_a_file else out / f"{source.stem}.wav"}
    if names_a_file:
        raise UserError(f"{source} is a folder, so OUT must be one too, not {out}")
    if out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{out} lies in {source}; give a folder elsewhere")
    paths = listed(source, pass_over)
    if not paths:
        suffixes = ", ".join((*SUFFIXES, MEL))
        raise UserError(f"{source} has no audio file ({suffixes}) in it")

    def key(target: Path) -> str:  # what some file systems hold for one name
        return unicodedata.normalize("NFC", str(target)).casefold()

    plain = {path: out / path.relative_to(source).with_suffix(".wav") for path in paths}
    alike = Counter(map(key, plain.values()))
    taken: dict[str, Path] = {}
    targets = {}
    for path, target in plain.items():
        if alike[key(target)] > 1:
            target = target.with_name(f"{path.name}.wav")
        if key(target) in taken:
            other = taken[key(target)]
            pass_over(UserError(f"{path}: it and {other} would both become {target}"))
            continue
        taken[key(target)] = path
        targets[path] = target
    return targets


def _probe(path: Path, spec: AudioSpec, mel_axes: str | None, decode: Decode) -> None:
    """Refuses a file that its header shows to be of no use."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise AudioFileError("missing", path, _why(error)) from error
    if not stat.S_ISREG(mode):  # to open a named pipe would wait
        raise AudioFileError("unreadable", path, "not a regular file")
    if path.suffix.lower() == MEL:
        mel_files.open_mel(path, spec.n_mels, mel_axes)
    else:
        decode(files.probe, path)


def _mel_blocks(path: Path, spec: AudioSpec, axes: str | None) -> Iterator[np.ndarray]:
    """A saved log-mel as [n, F] float32, in pieces."""
    mel = mel_files.open_mel(path, spec.n_mels, axes)
    low, high = value_range(mel)
    mel_files.finite(path, np.array([[low, high]]))
    if doubt := require_log_mel(path, spec, low, high):
        logging.warning("%s", doubt)
    for start in range(0, len(mel), _BLOCK):
        yield mel_files.finite(path, mel[start : start + _BLOCK])


def _named(path: Path, error: Exception) -> UserError:
    """An error that names its file."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, UnicodeError):
        return AudioFileError("unreadable", path, "its name is not valid text")
    return AudioFileError("unreadable", path, str(error))


def _why(error: OSError) -> str:
    missing = error.errno == errno.ENOENT
    return "no such file" if missing else error.strerror or "cannot be read"


def _is_of_the_name(error: BaseException) -> bool:
    """Whether the file's own name is what its copy cannot have; not a full disk."""
    cause = error if isinstance(error, OSError) else error.__cause__
    name = isinstance(cause, OSError) and cause.errno in _OF_A_NAME
    return name or isinstance(error, UnicodeError)
