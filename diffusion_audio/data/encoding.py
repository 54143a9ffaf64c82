"""How a frozen autoencoder makes latents of clips: the same ones each time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.data.source import Source
from diffusion_audio.errors import UserError


class Encoding(NamedTuple):
    """How clips become moments: always in the same batches, so to the same bits.

    A clip longer than ``samples`` is represented by one crop, chosen by its number.

    Attributes:
        source: of clips with audio.
        encode: [batch_size, samples] to moments [batch_size, H, W, 2C], float32.
        samples: length N of each clip.
        batch_size: clips encoded at a time.
    """

    source: Source
    encode: Callable[[np.ndarray], np.ndarray]
    samples: int
    batch_size: int = 32

    def batch(self, start: int) -> tuple[np.ndarray, dict[int, AudioFileError]]:
        """Moments [b, H, W, 2C] of the clips from ``start`` on, and the bad among them.

        Raises:
            UserError: moments of a good clip are not finite.
        """
        stop = min(start + self.batch_size, len(self.source))
        audio = np.zeros((self.batch_size, self.samples), np.float32)
        bad = {}

        def draw(number: int) -> None:
            rng = np.random.default_rng(number)
            try:
                clip = self.source.draw(number, self.samples, rng)
                audio[number - start] = clip["audio"]
            except AudioFileError as error:
                bad[number] = error

        with ThreadPoolExecutor() as pool:
            list(pool.map(draw, range(start, stop)))
        moments = np.asarray(self.encode(audio), np.float32)[: stop - start]
        for number in range(start, stop):
            if number not in bad and not np.isfinite(moments[number - start]).all():
                raise UserError(
                    f"the autoencoder gives NaN or infinity for clip "
                    f"{self.source.describe(number)['id']} of {self.source.name}: take "
                    f"another one, or train it longer"
                )
        return moments, bad
