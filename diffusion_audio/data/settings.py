"""What a config says of the data."""

import dataclasses

from diffusion_audio.errors import UserError

MOST_WORKERS = 256


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What is trained on.

    Attributes:
        source: ``tones``, ``folder:DIR`` or ``tfds:NAME``.
        train_split: of the source.
        evaluation_split: of the source; training never sees it.
        seconds: length of an example; clips are cropped or padded to it.
        batch_size: examples of a batch, over all devices and processes.
        labels: attributes whose values a classifier learns; their values are kept
            in its run.
        skip_budget: share of bad files beyond which a run stops; of a small set a
            tenth may be bad, up to 20 (`data.skipped.allowed`).
        decode_workers: processes that decode audio files; 0 decodes in the training
            process, which a decoder that crashes then ends.
        cache_latents: encode the set once and train on that; every clip is then one
            latent, of one crop of ``seconds``.
        mels: folder of saved mels that a vocoder is trained on, one for each recording
            of ``folder:DIR`` (`data.mel_pairs`); computed from the audio if empty.
        mel_axes: their order, ``ft`` or ``tf``; found from their shapes if empty.
    """

    source: str = "tones"
    train_split: str = "train"
    evaluation_split: str = "validation"
    seconds: float = 1.024
    batch_size: int = 32
    labels: tuple[str, ...] = ()
    skip_budget: float = 0.001
    decode_workers: int = 2
    cache_latents: bool = False
    mels: str = ""
    mel_axes: str = ""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(
                f"config.data.batch_size must be 1 or more, not {self.batch_size}"
            )
        if not 0 < self.seconds < float("inf"):
            raise UserError(
                f"config.data.seconds must be a length above 0, not {self.seconds}"
            )
        if not 0 <= self.skip_budget <= 1:
            raise UserError(
                f"config.data.skip_budget is a share from 0 to 1, not "
                f"{self.skip_budget}"
            )
        if not 0 <= self.decode_workers <= MOST_WORKERS:
            raise UserError(
                f"config.data.decode_workers is a number of processes from 0 to "
                f"{MOST_WORKERS}, not {self.decode_workers}"
            )
