"""A protocol by name: every constant of the numbers that a toolkit or paper reports."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from diffusion_audio.evaluation.estimators import Estimator
from diffusion_audio.evaluation.treatment import RESAMPLER, Treatment


@dataclass(frozen=True)
class Metric:
    """One number of a protocol.

    Attributes:
        title: what it is, in a few words.
        encoder: the network, as the catalog of metric networks names it.
        treatment: what is done to recordings before.
        estimator: what is made of what it hears.
        better: which direction is.
    """

    title: str
    encoder: str
    treatment: Treatment
    estimator: Estimator
    better: Literal["lower", "higher"] = "lower"

    def settings(self) -> dict[str, Any]:
        """Every constant, as JSON values."""
        # Every estimator is a dataclass, which the type of a callable cannot say.
        constants = dataclasses.asdict(self.estimator)  # type: ignore[call-overload]
        return {
            "treatment": dataclasses.asdict(self.treatment),
            "estimator": {"name": type(self.estimator).__name__, **constants},
        }

    @property
    def loudness(self) -> str:
        """What is done to levels, in words."""
        level = self.treatment.peak
        peak = "as they are" if level is None else f"peak at {level:g} dB"
        return f"{peak}, mean taken away" if self.treatment.centred else peak

    @property
    def resampler(self) -> str:
        """What brings recordings to the network's rate, in words."""
        sinc = self.treatment.resampler
        name = RESAMPLER if sinc is None else f"torchaudio's sinc, {sinc}"
        way = self.treatment.through
        return name if way is None else f"{name}, by way of {way} Hz"


@dataclass(frozen=True)
class ClipList:
    """The clips that numbers of a protocol are of.

    Attributes:
        count: how many.
        hash: `protocol.text_hash` of their ids, sorted; None where no list was at hand.
        ids: what an id is, with an example.
    """

    count: int
    hash: str | None
    ids: str


@dataclass(frozen=True)
class NamedProtocol:
    """All that is fixed for the numbers of one name.

    Attributes:
        about: what reports them.
        source: where the constants were read.
        metrics: by the names they have in results.
        clips: the list they are of; None where any may be scored.
        order: how clips are sorted where their order counts, by ``"stem"`` or by the
            whole ``"name"`` of the generated file.
        faults: what is known to be wrong in the source and how it is treated here, a
            line each.
    """

    about: str
    source: str
    metrics: Mapping[str, Metric] = field(hash=False)
    clips: ClipList | None = None
    order: Literal["stem", "name"] = "stem"
    faults: tuple[str, ...] = ()

    def of_encoders(self, encoders: tuple[str, ...]) -> dict[str, Metric]:
        """The metrics of some networks."""
        return {n: m for n, m in self.metrics.items() if m.encoder in encoders}

    @property
    def encoders(self) -> tuple[str, ...]:
        """The networks that it takes, each once."""
        return tuple(dict.fromkeys(metric.encoder for metric in self.metrics.values()))
