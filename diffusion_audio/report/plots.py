"""Plots of a page: each function takes plain values and returns what HTML shows.

Spectrograms are images without axes: the page draws their ticks as text, which
stays legible at any width. Curves are SVG whose colours are the page's, so that
they follow its dark and light themes.
"""

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator

from diffusion_audio.audio.mel import hz_to_mel, log_mel
from diffusion_audio.audio.spec import AudioSpec

RANGE = 8.0  # log-amplitude below the loudest point that a spectrogram shows: 70 dB
MELS = 112
COLUMNS = 4096  # of an image: a format of images has an end, and a screen before it
SMOOTHING = 25  # windows of a smoothed curve over its length

# Stand-ins that matplotlib draws with, and the style-sheet colours put in their place.
COLOURS = {
    "#010101": "var(--text)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--train)",
    "#050505": "var(--eval)",
}
TEXT, MUTED, LINE, TRAIN, EVAL = COLOURS


class Tick(NamedTuple):
    """A labelled place on an axis; ``at`` runs from 0 to 1."""

    at: float
    label: str


class Spectrogram(NamedTuple):
    """A spectrogram: an image as a ``data:`` address, and its axes."""

    uri: str
    seconds: tuple[Tick, ...]
    kilohertz: tuple[Tick, ...]


def spectrograms(waves: Sequence[np.ndarray], sample_rate: int) -> list[Spectrogram]:
    """Log-mel spectrograms on one colour scale, so that they can be compared.

    They are finer than the mels that networks see, and made from the waveform
    that is played.

    Args:
        waves: float [N] each.
        sample_rate: in Hz.
    """
    spec = _spectrogram_spec(sample_rate, max(map(len, waves), default=0))
    mels = [_log_mel(spec, wave) for wave in waves]
    top = max((float(mel.max()) for mel in mels), default=0.0)
    return [
        Spectrogram(
            _image(mel, top - RANGE, top),
            _time_ticks(len(wave) / sample_rate),
            _mel_ticks(spec),
        )
        for mel, wave in zip(mels, waves, strict=True)
    ]


def curve(rows: Iterable[Mapping[str, Any]], metric: str) -> Markup | None:
    """One metric over the steps of a run, training and evaluation, as inline SVG.

    Args:
        rows: of ``metrics.jsonl``: ``{"step": int, "split": "train" | "eval", ...}``.
        metric: the name to draw.

    Returns:
        The plot, or nothing where no row has the metric.
    """
    train, evaluation = (_points(rows, split, metric) for split in ("train", "eval"))
    values = np.concatenate([train[1], evaluation[1]])
    if not len(values):
        return None
    # No pyplot: nothing global is touched, and equal input gives equal bytes.
    text = _describe(metric, train, evaluation)
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": text, "font.size": 9}
    ):
        figure = Figure(figsize=(3.6, 2.1), layout="constrained")
        axes = figure.add_subplot()
        _style(axes)
        if values.min() > 0 and values.max() > 30 * values.min():
            axes.set_yscale("log")
        else:
            axes.yaxis.set_major_locator(MaxNLocator(4))
        if len(train[0]) > 2 * SMOOTHING:
            axes.plot(*train, color=TRAIN, linewidth=0.8, alpha=0.3)
        if len(train[0]):  # some metrics are of evaluations only
            axes.plot(train[0], _smooth(train[1]), color=TRAIN, linewidth=1.6)
        axes.plot(*evaluation, "o-", color=EVAL, lw=1.2, markersize=3.5, clip_on=False)
        axes.set_xlim(0, max([1, *train[0], *evaluation[0]]))
        axes.set_xlabel("step", color=MUTED)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        return _svg(figure, text)


class Line(NamedTuple):
    """A difference: its interval, and the values [S] of single seeds."""

    low: float
    high: float
    seeds: np.ndarray


def forest(lines: Mapping[str, Line], description: str) -> Markup:
    """Differences to a baseline, one row a variant, as inline SVG.

    Args:
        lines: by name, the first on top.
        description: for those who do not see it.
    """
    names = list(lines)
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": description, "font.size": 9}
    ):
        figure = Figure(figsize=(3.6, 0.9 + 0.32 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        _style(axes)
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle="--")
        for row, name in enumerate(names):
            line = lines[name]
            axes.plot([line.low, line.high], [row, row], color=TRAIN, linewidth=2.2)
            spread = np.full(len(line.seeds), row)
            axes.plot(line.seeds, spread, "o", color=EVAL, markersize=3.5)
        axes.set_yticks(range(len(names)), _labels(names))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        return _svg(figure, description)


def _labels(names: Sequence[str], most: int = 22) -> list[str]:
    """Names that fit beside an axis, whole where their beginnings are alike.

    Dollars would be read as mathematics.
    """
    short = [n if len(n) <= most else f"{n[: most - 1]}…" for n in names]
    distinct = short if len(set(short)) == len(names) else names
    return [name.replace("$", r"\$") for name in distinct]


def _points(
    rows: Iterable[Mapping[str, Any]], split: str, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    found = [
        (row["step"], row[metric])
        for row in rows
        if row["split"] == split and np.isfinite(row.get(metric, np.nan))
    ]
    steps, values = np.array(found, np.float64).reshape(-1, 2).T
    return steps, values


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean over a window that shrinks at the ends."""
    half = len(values) // (2 * SMOOTHING)
    kernel = np.ones(2 * half + 1)
    total = np.convolve(values, kernel, "same")
    return total / np.convolve(np.ones_like(values), kernel, "same")


def _describe(
    metric: str,
    train: tuple[np.ndarray, np.ndarray],
    evaluation: tuple[np.ndarray, np.ndarray],
) -> str:
    """What the curve shows, for those who do not see it."""
    parts = [
        f"{name} from {values[0]:.3g} to {values[-1]:.3g} at step {steps[-1]:.0f}"
        for name, (steps, values) in {"train": train, "eval": evaluation}.items()
        if len(steps)
    ]
    return f"{metric}: {'; '.join(parts)}"


def _style(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(which="both", color=LINE, labelcolor=MUTED, length=0, pad=4)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def _svg(figure: Figure, description: str) -> Markup:
    """A figure as inline SVG in the page's colours and type."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    body = text[text.index("<svg") :]
    view = re.search(r'viewBox="([^"]+)"', body)
    assert view is not None  # matplotlib always writes one
    # The header holds sizes in points and addresses of name spaces; names that
    # nothing refers to would clash with those of the next figure.
    body = re.sub(r"^<svg[^>]*>|<metadata>.*?</metadata>", "", body, flags=re.S)
    used = set(re.findall(r"#([\w.]+)", body))
    body = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", body)
    body = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", body)
    for stand_in, colour in COLOURS.items():
        body = body.replace(stand_in, colour)
    head = Markup('<svg role="img" viewBox="{}" aria-label="{}">').format(
        view[1], description
    )
    return head + Markup(body)  # matplotlib escapes the text that it draws


def _spectrogram_spec(sample_rate: int, samples: int) -> AudioSpec:
    """Windows of 50 ms every 4 ms; longer ones where those were too many."""
    hop = max(sample_rate // 250, -(-samples // COLUMNS))
    window = max(sample_rate // 20, 2 * hop)
    return AudioSpec(
        sample_rate=sample_rate,
        n_fft=2 ** int(np.ceil(np.log2(max(sample_rate / 10, 2 * window)))),
        win_length=window,
        hop_length=hop,
        n_mels=MELS,
        fmin=30.0,
        framing="centre",
    )


def _log_mel(spec: AudioSpec, wave: np.ndarray) -> np.ndarray:
    padded = np.pad(np.nan_to_num(wave), (0, max(0, spec.n_fft - len(wave))))
    frames = 1 + len(wave) // spec.hop_length
    return np.asarray(log_mel(spec, padded.astype(np.float32)))[:frames]


def _image(mel: np.ndarray, low: float, high: float) -> str:
    buffer = io.BytesIO()
    imsave(
        buffer, mel.T, cmap="magma", vmin=low, vmax=high, origin="lower", format="webp"
    )
    return data_uri("image/webp", buffer.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """Bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _time_ticks(seconds: float) -> tuple[Tick, ...]:
    places = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0.0, seconds)
    return tuple(
        Tick(place / seconds, f"{place:g}") for place in places if 0 <= place <= seconds
    )


def _mel_ticks(spec: AudioSpec) -> tuple[Tick, ...]:
    hertz = [f for f in (500, 1000, 2000, 4000, 8000, 16000) if f <= spec.top]
    low, high, *places = hz_to_mel(
        np.array([spec.fmin, spec.top, *hertz]), spec.mel_scale
    )
    return tuple(
        Tick((place - low) / (high - low), f"{f / 1000:g}")
        for place, f in zip(places, hertz, strict=True)
    )
