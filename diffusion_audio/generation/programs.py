"""What a pipeline computes, compiled: few programs, whatever it is called with."""

import ctypes
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from diffusion_audio.aliases import Array, Key, Params
from diffusion_audio.diffusion.multidiffusion import Windows, overlapping
from diffusion_audio.diffusion.sampling import advance
from diffusion_audio.systems.devices import over_devices
from diffusion_audio.systems.sampler import SamplingConfig
from diffusion_audio.systems.system import System, and_null

# XLA computes bfloat16 in float32 on the CPU. Left alone it converts all weights before
# a loop and keeps them, three times the memory; so told, each where it is used.
FRUGAL = {
    "xla_disable_hlo_passes": "while-loop-invariant-code-motion",
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
}


class Programs(NamedTuple):
    """Functions under ``jax.jit``, or `Lean` ones. Made by `compile_programs`.

    Attributes:
        begin: ``(params, frozen, cfg, null, prompt, z)`` -> the condition [2B, ...],
            and what sampling starts from.
        advance: ``(params, cfg, size, guidance, key, start, stop, both, carry, index)``
            -> the carry after evaluations start to stop; see `diffusion.sampling`.
        decode: ``(frozen, z)`` -> log-mels [B, T, F].
        reconstruct: ``(frozen, audio)`` -> log-mels of copies.
        vocode: ``(frozen, mel)`` -> waveforms [B, N].
    """

    begin: Any
    advance: Any
    decode: Any
    reconstruct: Any
    vocode: Any


class Lean(NamedTuple):
    """A function under ``jax.jit`` that runs without what its compilation has left.

    Attributes:
        jitted: the function.
    """

    jitted: Any

    def __call__(self, *args: Any) -> Any:
        """Compiles where that is still to do, gives memory back, and runs."""
        self.jitted.lower(*args).compile()  # kept by jax, and called below
        if sys.platform == "linux":  # some hundred megabytes, free but not given back
            getattr(ctypes.CDLL(None), "malloc_trim", bool)(0)
        return self.jitted(*args)


def windows_of(z: Array, axis: int, size: int) -> Windows:
    """How the denoiser sees latents: in windows half of which the next one sees too."""
    return overlapping(z.shape[axis], size, size // 2)


def compile_programs(
    system: System, mesh: Mesh | None, *, half: bool = False
) -> Programs:
    """The programs of a system, none of them compiled yet.

    Sampling is a program of its own, so that someone may watch it: it makes as many
    evaluations a call as it is told. (A callback from within would keep the program
    from being cached between processes.)

    Args:
        system: what is computed.
        mesh: devices that the rows of a batch are split over; None for one.
        half: whether weights are in half precision, so that memory is what counts.
    """
    axis = system.autoencoder.time_axis

    def begin(
        params: Params, frozen: Params, cfg: SamplingConfig, null: Any, *rows: Any
    ) -> Any:
        def work(
            params: Params, frozen: Params, null: Any, prompt: Any, z: Array
        ) -> Any:
            both = system.condition(params, frozen, and_null(prompt, null))
            return both, (z, system.sampler(cfg).init(z))

        return over_devices(work, mesh, 3)(params, frozen, null, *rows)

    def go_on(params: Params, cfg: SamplingConfig, size: int, *args: Any) -> Any:
        def work(
            params: Params,
            guidance: Array,
            key: Key,
            start: Array,
            stop: Array,
            both: Any,
            carry: Any,
            index: Array,
        ) -> Any:
            windows = windows_of(carry[0], axis, size)
            denoise = system.guided(params, cfg, both, guidance, windows)
            return advance(
                system.sampler(cfg),
                denoise,
                carry,
                key,
                indices=index,
                start=start,
                stop=stop,
            )

        return over_devices(work, mesh, 5)(params, *args)

    def reconstruct(frozen: Params, audio: Array) -> Array:
        moments = system.encode(frozen, audio)
        return system.decode(frozen, moments.mean * frozen["latent_scale"])

    frugal = half and jax.default_backend() == "cpu"
    options = FRUGAL if frugal else None

    def compiled(function: Callable[..., Any], *static: int) -> Any:
        jitted = jax.jit(function, static_argnums=static, compiler_options=options)
        return Lean(jitted) if frugal else jitted

    return Programs(
        begin=compiled(begin, 2),
        advance=compiled(go_on, 1, 2),
        decode=compiled(over_devices(system.decode, mesh, 1)),
        reconstruct=compiled(over_devices(reconstruct, mesh, 1)),
        vocode=compiled(over_devices(system.vocode, mesh, 1)),
    )
