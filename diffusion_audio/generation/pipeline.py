"""From prompts to waveforms with a trained model.

pipeline = load("runs/diffusion")  # or a folder, or an id of the hub
waves = pipeline(["a loud plucked violin at A5"], key=jax.random.key(0))
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from diffusion_audio.aliases import Array, Key, Params
from diffusion_audio.data.text import as_texts, clean
from diffusion_audio.diffusion.multidiffusion import overlapping
from diffusion_audio.diffusion.noise import example_keys, example_noise, purpose_key
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.generation.batches import (
    BATCH_SIZE,
    in_batches,
    joined,
    require_size,
)
from diffusion_audio.generation.programs import Programs, compile_programs
from diffusion_audio.generation.ranking import Ranking
from diffusion_audio.generation.windows import faded, stream
from diffusion_audio.systems.conditioning import Tokenizers
from diffusion_audio.systems.sampler import SamplingConfig
from diffusion_audio.systems.system import System

LONGEST_SECONDS = 600.0
WINDOWS = ("auto", "always", "never")
Watch = Callable[[int, int, int], None]
"""``watch(done, count, rows)``: of a batch of rows, evaluations done of how many."""


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """A trained model that turns captions into audio. Made by `load`.

    Attributes:
        system: the parts and the process.
        config: resolved, what it was made of.
        params: of conditioners and denoiser, averaged where the run has an average.
        frozen: of autoencoder and vocoder, and the latent scale.
        tokenizers: of the prompts.
        sampling: the model's own solver, steps and guidance.
        seconds: length of what the model was trained on.
        step: of the checkpoint that it was read from; None for a published model.
        ranking: what ranks several sounds of a prompt; None where there is no such.
        mesh: devices that a batch is split over, with the parameters whole on each;
            None for the one where they are.
    """

    system: System
    config: Mapping[str, Any]
    params: Params
    frozen: Params
    tokenizers: Tokenizers
    sampling: SamplingConfig
    seconds: float
    step: int | None
    ranking: Ranking | None = None
    mesh: Mesh | None = None

    @property
    def candidates(self) -> int:
        """Sounds that the model's own way makes of a prompt."""
        return int(self.config.get("candidates", 1))

    def __call__(
        self,
        prompts: str | Sequence[str],
        *,
        key: Key,
        solver: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        duration: float | None = None,
        negative_prompt: str = "",
        transcripts: str | Sequence[str] | None = None,
        phonemes: bool = False,
        latents: Array | None = None,
        batch_size: int = BATCH_SIZE,
        windows: str = "auto",
    ) -> np.ndarray:
        """Waveforms float32 [B, N] at ``system.spec.sample_rate``.

        A prompt at the same position gets the same sound under the same key,
        whatever stands beside it and whatever the batch size.

        Args:
            prompts: B captions; a string is one.
            key: of all randomness.
            solver: a name of `diffusion.solvers.SOLVERS`; the run's own where None.
            steps: solver steps; the run's own where None.
            guidance: classifier-free guidance scale; the run's own where None.
            duration: seconds; the length of training clips where None.
            negative_prompt: what guidance leads away from.
            transcripts: what is said, of a model of speech: B texts, or one for all.
            phonemes: the transcripts are phonemes already, in the IPA.
            latents: noise to start from [B, H, W, C]; drawn from ``key`` where None.
            batch_size: prompts that are computed at a time, which memory grows with;
                rounded up to a multiple of the devices.
            windows: one of ``WINDOWS``: whether latents that are longer than those the
                model was trained on are denoised and decoded in windows of that
                length. Auto does so from more than twice of it.

        Raises:
            UserError: a prompt is too long, a number is impossible, there is no
                vocoder, or transcripts lack, or are not of this model.
        """
        made = self.batches(
            prompts,
            key=key,
            solver=solver,
            steps=steps,
            guidance=guidance,
            duration=duration,
            negative_prompt=negative_prompt,
            transcripts=transcripts,
            phonemes=phonemes,
            latents=latents,
            batch_size=batch_size,
            windows=windows,
        )
        return joined(made)

    def batches(
        self,
        prompts: str | Sequence[str],
        from_mels: Callable[[np.ndarray], Any] | None = None,
        *,
        key: Key,
        solver: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        duration: float | None = None,
        negative_prompt: str = "",
        transcripts: str | Sequence[str] | None = None,
        phonemes: bool = False,
        latents: Array | None = None,
        batch_size: int = BATCH_SIZE,
        windows: str = "auto",
        watch: Watch | None = None,
    ) -> Iterator[Any]:
        """The sounds of prompts, batch by batch; for the rest see `__call__`.

        ``from_mels`` makes arrays [b, ...], as they are wanted, of log-mels [b, T, F];
        waveforms [b, N] by the model's vocoder where None. ``watch`` is told of each
        evaluation of the denoiser. What cannot be is refused by the call, before the
        first batch is asked for.
        """
        prompts = as_texts(prompts)
        negative = as_texts([negative_prompt], "negative prompt")
        said = self.transcripts(prompts, transcripts, phonemes=phonemes)
        samples = self._samples(duration)
        if from_mels is None:
            self.system.require_vocoder()

            def from_mels(mels: np.ndarray) -> np.ndarray:
                return self.vocode(mels)[:, :samples]

        cfg = self.drawing(solver, steps, guidance)
        shape = self.system.latent_shape(samples)
        if latents is not None and latents.shape != (len(prompts), *shape):
            raise UserError(
                f"latents of shape {latents.shape} do not fit {len(prompts)} prompts "
                f"of {samples} samples; expected shape "
                f"{(len(prompts), *shape)}"
            )
        if not np.isfinite(cfg.guidance):
            raise UserError(f"guidance must be a finite number, not {cfg.guidance}")
        self.system.sampler(cfg)  # refuses what cannot be, before anything compiles
        require_size(batch_size)
        size = self.window(duration, windows)
        if said is None:
            conditioned = self.tokenizers.prompt(prompts)
        else:
            conditioned = self.tokenizers.spoken(prompts, said, phonemes=phonemes)
        null = self.tokenizers.null()
        if clean(negative[0]):
            null = self.tokenizers.negative(negative[0], conditioned)

        def draw(prompt: Any, index: Array, *start: Array) -> Any:
            keys = example_keys(purpose_key(key, "latents"), index)
            (z,) = start or (example_noise(keys, shape),)
            z0 = self._sample(cfg, size, key, null, prompt, z, index, watch)
            mels = self._decode(z0, size)
            if not np.isfinite(mels).all():
                raise UserError(
                    "the model's output is not finite (NaN or infinity); was its "
                    "training stable? Otherwise lower the guidance"
                )
            return from_mels(mels)

        rows = (conditioned, np.arange(len(prompts), dtype=np.int32))
        start = () if latents is None else (latents,)
        return in_batches(draw, *rows, *start, size=batch_size, multiple=self._devices)

    def transcripts(
        self,
        prompts: Sequence[str],
        transcripts: str | Sequence[str] | None,
        *,
        phonemes: bool = False,
    ) -> list[str] | None:
        """A transcript for each prompt; None where the model takes none.

        Raises:
            UserError: they lack, are of another number or empty, or the model is none
                of speech.
        """
        if not self.tokenizers.of_speech:
            if transcripts is not None or phonemes:
                raise UserError(
                    "this is no model of speech: it takes no transcript and no "
                    "phonemes; say all in the prompt"
                )
            return None
        if transcripts is None:
            raise UserError(
                "this is a model of speech: beside a prompt, which says how it sounds, "
                "give a transcript of what is said (--transcript, or transcripts=)"
            )
        texts = as_texts(transcripts, "transcript")
        if isinstance(transcripts, str):
            texts *= len(prompts)
        if len(texts) != len(prompts):
            raise UserError(
                f"expected a transcript for each of {len(prompts)} prompts, or one for "
                f"all, got {len(texts)}"
            )
        if not all(map(clean, texts)):
            raise UserError("a transcript is empty; expected words to say")
        return texts

    def window(self, duration: float | None = None, windows: str = "auto") -> int:
        """Latent frames that the model sees at a time for a duration; see `__call__`.

        All of them, or as many as it was trained on.

        Raises:
            UserError: ``windows`` is none of ``WINDOWS``, or the duration cannot be.
        """
        if windows not in WINDOWS:
            raise unknown("windows", windows, WINDOWS)
        length, trained = (
            self.system.latent_shape(self._samples(seconds))[self._time - 1]
            for seconds in (duration, None)
        )
        longest = {"auto": 2 * trained, "always": trained, "never": length}[windows]
        return length if length <= longest else trained

    def windowed(self, duration: float | None = None, windows: str = "auto") -> bool:
        """Whether sounds of a duration are made in windows; see `__call__`."""
        shape = self.system.latent_shape(self._samples(duration))
        return self.window(duration, windows) < shape[self._time - 1]

    def _sample(
        self,
        cfg: SamplingConfig,
        size: int,
        key: Key,
        null: Any,
        prompt: Any,
        z: Array,
        index: Array,
        watch: Watch | None,
    ) -> Array:
        """Latents [B, H, W, C] of unit scale, from noise."""
        guidance = jnp.float32(cfg.guidance)
        cfg = dataclasses.replace(cfg, guidance=1.0)  # traced, not compiled in
        noise = purpose_key(key, "solver")
        begin, advance, *_ = self.programs
        both, carry = begin(self.params, self.frozen, cfg, null, prompt, z)
        count = self.system.sampler(cfg).evaluations
        each = count if watch is None else 1
        for start in range(0, count, each):
            before, stop = carry, start + each
            carry = advance(
                self.params,
                cfg,
                size,
                guidance,
                noise,
                jnp.int32(start),
                jnp.int32(stop),
                both,
                carry,
                index,
            )
            if watch is not None:  # of the one before: the devices are never idle
                jax.block_until_ready(before)
                watch(start, count, len(z))
        return carry[0]

    def _decode(self, z: Array, size: int) -> np.ndarray:
        """Log-mels [B, T, F] of latents of unit scale."""
        return faded(
            functools.partial(self.programs.decode, self.frozen),
            np.asarray(z),
            overlapping(z.shape[self._time], size, size // 4),
            axis=self._time,
            factor=self.system.autoencoder.factors[0],
        )

    def drawing(
        self,
        solver: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> SamplingConfig:
        """How sounds are drawn: the run's own way, but for what is given."""
        cfg = self.sampling if solver is None else self.sampling.of_solver(solver)
        changes = {"steps": steps, "guidance": guidance}
        given: Any = {k: value for k, value in changes.items() if value is not None}
        return dataclasses.replace(cfg, **given)

    def reconstruct(self, audio: np.ndarray) -> np.ndarray:
        """Waveforms [B, N] through VAE and vocoder: the best the model could sound."""
        mels = self._rows(functools.partial(self.programs.reconstruct, self.frozen))
        return self.vocode(mels(np.asarray(audio)))[:, : audio.shape[1]]

    def vocode(self, mels: Array | np.ndarray) -> np.ndarray:
        """Waveforms [B, N] of log-mels [B, T, F] by the run's vocoder.

        Long ones are made window by window, so memory does not grow with them.
        """
        vocode = self._rows(functools.partial(self.programs.vocode, self.frozen))
        vocoder = self.system.require_vocoder()
        pieces = stream(
            vocode, np.asarray(mels), hop=vocoder.hop_length, margin=vocoder.margin
        )
        return np.concatenate(list(pieces), axis=1)

    @functools.cached_property
    def programs(self) -> Programs:
        """What it computes with."""
        return compile_programs(self.system, self.mesh, half=self.half)

    @property
    def half(self) -> bool:
        """Whether the denoiser's weights are in half precision."""
        leaves = jax.tree.leaves(self.params["denoiser"])
        return any(leaf.dtype == jnp.bfloat16 for leaf in leaves)

    @property
    def _devices(self) -> int:
        return 1 if self.mesh is None else self.mesh.size

    @property
    def _time(self) -> int:
        """The axis of latents [B, H, W, C] along which time goes."""
        return self.system.autoencoder.time_axis

    def _rows(
        self, function: Callable[[np.ndarray], Any]
    ) -> Callable[[np.ndarray], np.ndarray]:
        """A function of any number of rows, filled up to a multiple of the devices."""

        def filled(rows: np.ndarray) -> np.ndarray:
            size, multiple = len(rows), self._devices
            made: np.ndarray = joined(
                in_batches(function, rows, size=size, multiple=multiple)
            )
            return made

        return filled

    def _samples(self, duration: float | None) -> int:
        seconds = self.seconds if duration is None else duration
        if not 0 < seconds <= LONGEST_SECONDS:
            raise UserError(
                f"duration must lie above 0 and up to {LONGEST_SECONDS:.0f} s, not "
                f"{seconds}"
            )
        return round(seconds * self.system.spec.sample_rate)
