"""Several sounds of each prompt in the order of their nearness to it."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.generation.batches import in_batches, joined
from diffusion_audio.systems.conditioning import Tokenizers
from diffusion_audio.systems.ranker import Ranker

BATCH_SIZE = 4  # clips that the audio tower looks at together


@dataclass(frozen=True)
class Ranking:
    """A ranker whose weights are read when they are first needed.

    Attributes:
        ranker: the networks.
        read: reads their parameters.
    """

    ranker: Ranker
    read: Callable[[], Params]

    def scores(
        self,
        tokenizers: Tokenizers,
        prompts: Sequence[str],
        waves: np.ndarray,
        sample_rate: int,
    ) -> np.ndarray:
        """Cosines of B sounds and their prompts, float32 [B].

        Args:
            tokenizers: of the model, one of which is CLAP's.
            prompts: B captions.
            waves: [B, N].
            sample_rate: of these.
        """
        tokens = next(
            arrays
            for arrays in tokenizers.prompt(prompts).values()
            if "clap_tokens" in arrays
        )
        prompt = {name: tokens[name] for name in ("clap_tokens", "clap_mask")}

        def score(prompt: Any, waves: np.ndarray) -> Any:
            return self._scores(
                self._params, prompt, self.ranker.audio_inputs(waves, sample_rate)
            )

        rows: np.ndarray = joined(in_batches(score, prompt, waves, size=BATCH_SIZE))
        return rows

    @functools.cached_property
    def _params(self) -> Params:
        return self.read()

    @functools.cached_property
    def _scores(self) -> Any:
        return jax.jit(self.ranker.scores)
