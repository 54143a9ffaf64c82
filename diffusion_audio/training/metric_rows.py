"""The rows of metrics that a run writes while it trains."""

from diffusion_audio.aliases import Metrics
from diffusion_audio.progress import View
from diffusion_audio.runs.metric_log import Log
from diffusion_audio.training.expected import Band


class Rows:
    """Writes the metrics of steps, one row late: while the next step is computed.

    Args:
        log: where to.
        view: that shows them.
        band: where the loss should be.
        start: the step that a run goes on from.

    Attributes:
        pending: a step and its metrics, not written yet.
    """

    def __init__(self, log: Log, view: View, band: Band, start: int) -> None:
        self.pending: tuple[int, Metrics] | None = None
        self._log, self._view, self._band, self._written = log, view, band, start

    def write_pending(self) -> None:
        """Writes what is pending."""
        if self.pending is not None:
            self.write(*self.pending)

    def write(self, step: int, metrics: Metrics) -> None:
        """Writes the row of a step, if it is not written yet."""
        self.pending = None
        if step <= self._written:
            return
        values = {name: float(value) for name, value in metrics.items()}
        self._log.scalars(step, "train", values)
        self._view.update(step, {"loss": values["loss"]} if "loss" in values else {})
        if "loss" in values:
            self._band.look(step, values["loss"])
        self._written = step
