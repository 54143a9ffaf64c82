"""A folder of generated audio scored by a named protocol."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from absl import logging
from jax.sharding import Mesh

from diffusion_audio.audio.decoders import Decode, decoding
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.evaluation.estimators import Estimate, Heard, Needs, Seen
from diffusion_audio.evaluation.named_protocol import Metric, NamedProtocol
from diffusion_audio.evaluation.protocol import Protocol, text_hash
from diffusion_audio.evaluation.protocols import TABLE
from diffusion_audio.evaluation.scoring.cache import Cache, with_cache
from diffusion_audio.evaluation.scoring.encoders import Open
from diffusion_audio.evaluation.scoring.hear import (
    Listener,
    contents_of,
    gather,
    hear,
)
from diffusion_audio.evaluation.scoring.scores import NAME, Score, Scores
from diffusion_audio.evaluation.scoring.selection import (
    Inputs,
    Selection,
    Side,
    counts,
    possible,
    select,
)
from diffusion_audio.outputs import record, require_writable
from diffusion_audio.progress import MakeView, ProgressView, View
from diffusion_audio.runs.workdir import provenance


def score(
    inputs: Inputs,
    out: str | Path,
    *,
    protocol: str,
    open_encoder: Open,
    cache: str | Path,
    encoders: Sequence[str] = (),
    batch_size: int = 16,
    mesh: Mesh | None = None,
    overwrite: bool = False,
    make_view: MakeView = ProgressView,
) -> Scores:
    """Scores a folder, and writes ``scores.json``.

    Clips are sorted by key and sums are in float64, so that neither the order of files,
    nor the size of batches, nor the number of devices changes a number.

    Args:
        inputs: folders and captions.
        out: folder of the result.
        protocol: name of an entry of `protocols.TABLE`.
        open_encoder: finds the networks of a protocol.
        cache: folder of what was heard before.
        encoders: of the protocol, those whose metrics are wanted; all where empty.
        batch_size: windows that a network hears at once.
        mesh: devices that share a batch.
        overwrite: a file that this program did not make may be replaced.
        make_view: shows the progress.

    Raises:
        UserError: the protocol, a network, the clips or their captions are not there or
            do not fit.
    """
    path = Path(out) / NAME
    require_writable([path], overwrite=overwrite)
    named = TABLE[protocol]
    for encoder in encoders:
        if encoder not in named.encoders:
            raise unknown(f"network of protocol {protocol!r}", encoder, named.encoders)
    wanted = named.of_encoders(tuple(encoders) or named.encoders)
    metrics, left_out = possible(wanted, inputs)
    needs: set[Needs] = {metric.estimator.needs for metric in metrics.values()}
    selection = select(protocol, named, inputs, needs)
    for name, why in left_out.items():
        logging.warning("%s is not made: %s", name, why)
    names = dict.fromkeys(metric.encoder for metric in metrics.values())
    opened = {name: open_encoder(name) for name in names}
    listeners = {
        name: Listener(metric.encoder, opened[metric.encoder], metric.treatment)
        for name, metric in metrics.items()
    }
    spaces = {each.space: each for each in listeners.values()}
    sides = [side for side in (selection.generated, selection.reference) if side]

    def measured(store: Cache) -> dict[str, Score]:
        scores: dict[str, Score] = {}
        for side in sides:
            _look(store, side, make_view)
        with decoding() as decode:
            for listener in spaces.values():
                _hear(store, listener, sides, decode, batch_size, mesh, make_view)
        with closing(make_view("metrics", len(metrics), 0)) as view:
            advance = _advance(view)
            for space, listener in spaces.items():
                mine = {n: m for n, m in metrics.items() if listeners[n].space == space}
                heard = _Gathered(store, listener, Path(cache))
                for name, metric in mine.items():
                    need = metric.estimator.needs
                    made = protocol_of(
                        name, metric, protocol, named, selection, listener
                    )
                    seen = _seen(heard, selection, named.order, need)
                    try:
                        scores[name] = _score(metric, metric.estimator(seen), made)
                    except UserError as error:  # such as too few clips for this one
                        left_out[name] = str(error)
                        logging.warning("%s is not made: %s", name, error)
                    advance(1)
        return scores

    scores = with_cache(cache, measured)
    if not scores:
        raise UserError(f"no metric can be made: {'; '.join(left_out.values())}")
    result = Scores(
        name=protocol,
        source=named.source,
        faults=named.faults,
        scores={name: scores[name] for name in metrics if name in scores},
        left_out=left_out,
        clips=counts(selection),
        inputs={
            "generated": str(inputs.generated),
            "reference": str(inputs.reference or ""),
            "captions": str(inputs.captions or ""),
            "networks": {name: each.weights for name, each in opened.items()},
        },
        environment=provenance(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    result.write(path)
    record(path, "score")
    return result


def _advance(view: View) -> Callable[[int], None]:
    """Shows of a view that so many more are done."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        view.update(done)

    return advance


def _look(store: Cache, side: Side, make_view: MakeView) -> None:
    """Finds out the contents of a side's files."""
    with closing(make_view("read", len(side.paths), 0)) as view:
        side.contents, damaged = contents_of(store, side.paths, _advance(view))
        side.damaged |= damaged


def _hear(
    store: Cache,
    listener: Listener,
    sides: Sequence[Side],
    decode: Decode,
    batch_size: int,
    mesh: Mesh | None,
    make_view: MakeView,
) -> None:
    """Lets a network hear the clips of all sides, each content once."""
    paths = {
        content: side.paths[key]
        for side in sides
        for key, content in side.contents.items()
    }
    with closing(make_view(listener.name, len(paths), 0)) as view:
        wrong = hear(
            store,
            listener,
            paths,
            decode=decode,
            batch_size=batch_size,
            mesh=mesh,
            advance=_advance(view),
        )
    for side in sides:
        side.note(wrong)


class _Gathered:
    """What a network heard of lists of clips, each list gathered once.

    Args:
        store: the cache that has it.
        listener: the network.
        folder: on the disk for what memory need not hold.
    """

    def __init__(self, store: Cache, listener: Listener, folder: Path) -> None:
        self.listener = listener
        self._store, self._folder = store, folder
        self._heard: dict[tuple[str, ...], Heard] = {}

    def __call__(self, side: Side, keys: Sequence[str]) -> Heard:
        """Of clips of a side, in the order of the keys."""
        contents = [side.contents[key] for key in keys]
        if tuple(contents) not in self._heard:
            heard = gather(self._store, self.listener, contents, self._folder)
            self._heard[tuple(contents)] = heard
        return self._heard[tuple(contents)]


def _seen(heard: _Gathered, selection: Selection, order: str, need: Needs) -> Seen:
    """What a metric of a need is made of."""
    made, real = selection.generated, selection.reference
    keys = made.good()
    if need == "pairs" and real is not None:
        keys = real.good(keys)
    if not keys:
        sides = [side for side in (made, real) if side and side.damaged]
        _, why = min(sides[0].damaged.items())
        raise UserError(f"no clip is left to be scored: all are damaged, such as {why}")
    if order == "name":
        keys.sort(key=lambda key: made.paths[key].name)
    generated = heard(made, keys)
    if need in ("reference", "pairs") and real is not None:
        return Seen(generated, heard(real, keys if need == "pairs" else real.good()))
    if need == "captions" and selection.captions is not None:
        text, name = heard.listener.opened.text, heard.listener.name
        if text is None:
            raise UserError(f"{name} takes no texts, so it has no CLAP score")
        return Seen(generated, captions=text([selection.captions[key] for key in keys]))
    return Seen(generated)


def protocol_of(
    name: str,
    metric: Metric,
    protocol: str,
    named: NamedProtocol,
    selection: Selection,
    listener: Listener,
) -> Protocol:
    """All that a metric's number depends on, the generated clips apart."""
    need, real = metric.estimator.needs, selection.reference
    with_real = real if need in ("reference", "pairs") else None
    keys = selection.generated.good()
    if with_real is not None and need == "pairs":
        keys = with_real.good(keys)
    theirs = [] if with_real is None else keys if need == "pairs" else with_real.good()
    contents = sorted(with_real.contents[key] for key in theirs) if with_real else []
    captions = selection.captions if need == "captions" else None
    listed = named.clips is not None or need in ("pairs", "captions")
    encoder = listener.opened.encoder
    return Protocol(
        metric=name,
        definition=metric.title,
        reference=text_hash(contents) if contents else "",
        reference_clips=len(contents),
        prompts=text_hash([f"{k}\t{captions[k]}" for k in keys]) if captions else "",
        clips=len(keys),
        sample_rate=encoder.sample_rate,
        seconds=metric.treatment.seconds or 0.0,
        loudness=metric.loudness,
        resampler=metric.resampler,
        vocoder="",
        embedding=metric.encoder,
        embedding_weights=listener.opened.weights,
        sampling_seeds=(),
        settings={
            "protocol": protocol,
            "order": named.order,
            "ids": text_hash(keys) if listed else "",
            **metric.settings(),
        },
    )


def _score(metric: Metric, estimate: Estimate, protocol: Protocol) -> Score:
    low, high = estimate.interval or (None, None)
    return Score(
        title=metric.title,
        better=metric.better,
        value=estimate.value,
        low=low,
        high=high,
        more=estimate.more,
        notes=estimate.notes,
        protocol=protocol,
    )
