"""AudioLDM 2's conditioner: a language of audio that GPT-2 speaks, and T5's tokens.

CLAP's vector and T5's tokens, projected and set one after the other, are a prompt for
GPT-2, which goes on with tokens of what AudioMAE would see in the sound (Liu et al.
2024, section III-B). The denoiser attends to these, and to T5's tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from diffusion_audio.aliases import Array, Key, Params
from diffusion_audio.diffusion.noise import purpose_key
from diffusion_audio.errors import unknown
from diffusion_audio.models.condition import Condition, Context
from diffusion_audio.models.gpt2 import PADDINGS, GPT2Config, build_gpt2
from diffusion_audio.models.projection import ProjectionConfig, build_projection
from diffusion_audio.models.roberta import RobertaConfig, build_clap_text
from diffusion_audio.models.t5 import T5Config, build_t5
from diffusion_audio.nn.functional import Network
from diffusion_audio.settings import of_group
from diffusion_audio.systems.conditioners import Conditioner
from diffusion_audio.systems.published_tokens import learn, reader

NULLS = ("zeros", "generated")
NEGATIVES = ("whole", "cut")
BUILDERS: dict[str, tuple[type, Callable[[Any], Network]]] = {
    "clap": (RobertaConfig, build_clap_text),
    "t5": (T5Config, build_t5),
    "projection": (ProjectionConfig, build_projection),
    "gpt2": (GPT2Config, build_gpt2),
}


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        clap: of CLAP's text tower, a `models.roberta.RobertaConfig`.
        t5: of T5's encoder, a `models.t5.T5Config`.
        projection: of what joins them, a `models.projection.ProjectionConfig`.
        gpt2: a `models.gpt2.GPT2Config`.
        tokens: how many GPT-2 makes.
        max_tokens: of a prompt, for T5; the original cuts at 128, diffusers at 512.
        padding: ``"independent"`` makes a prompt's tokens the same beside any others;
            ``"batch"`` has them depend on the longest of the batch, as the original and
            diffusers do: see `models.gpt2.GPT2.generate`.
        null: GPT-2's tokens where there is no prompt: ``"zeros"``, as in training and
            in the original, or ``"generated"`` from an empty text, as in diffusers.
        negative: T5's tokens of a negative prompt: ``"whole"``, or ``"cut"`` to as many
            as the longest prompt has, as diffusers does.
        trained: whether all are trained with the denoiser.
    """

    clap: Mapping[str, Any]
    t5: Mapping[str, Any]
    projection: Mapping[str, Any]
    gpt2: Mapping[str, Any]
    tokens: int = 8
    max_tokens: int = 128
    padding: str = "independent"
    null: str = "zeros"
    negative: str = "whole"
    trained: bool = False

    def __post_init__(self) -> None:
        if self.null not in NULLS:
            raise unknown("null of language_of_audio", self.null, NULLS)
        if self.negative not in NEGATIVES:
            raise unknown("negative of language_of_audio", self.negative, NEGATIVES)
        if self.padding not in PADDINGS:
            raise unknown("padding of language_of_audio", self.padding, PADDINGS)


def build(cfg: Config) -> Conditioner:
    """The conditioner of a config."""
    configs: dict[str, Any] = {
        name: of_group(config, getattr(cfg, name), f"language_of_audio: {name}")
        for name, (config, _) in BUILDERS.items()
    }
    networks: dict[str, Network] = {
        name: builder(configs[name]) for name, (_, builder) in BUILDERS.items()
    }

    def init(key: Key) -> Params:
        return {n: each.init(purpose_key(key, n)) for n, each in networks.items()}

    def run(params: Params, name: str, *arguments: Any, **options: Any) -> Any:
        return networks[name].apply(params[name], *arguments, **options)

    def apply(params: Params, arrays: Mapping[str, Array]) -> Condition:
        vector = run(params, "clap", arrays["clap_tokens"], arrays["clap_mask"])
        mask = arrays["t5_mask"]
        words = Context(run(params, "t5", arrays["t5_tokens"], mask), mask)
        start = run(params, "projection", Context(vector[:, None]), words)
        tokens = run(
            params,
            "gpt2",
            *start,
            method="generate",
            steps=cfg.tokens,
            padding=cfg.padding,
        )
        if cfg.null == "zeros":
            tokens = jnp.where(arrays["asked"][:, None, None], tokens, 0)
        return Condition((Context(tokens), words))

    cut = ("t5",) if cfg.negative == "cut" else ()
    read = reader(cut=cut, clap=configs["clap"].max_tokens, t5=cfg.max_tokens)
    alone = cfg.padding == "independent"
    return Conditioner(Network(init, apply), learn, read, cfg.trained, alone)
