"""What AudioLDM 2's conditioners share: two encoders, what joins them, and GPT-2.

CLAP's vector and the tokens of a second encoder, projected and set one after the other,
are a prompt for GPT-2, which goes on with tokens of what AudioMAE would see in the
sound (Liu et al. 2024, section III-B).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from diffusion_audio.aliases import Array, Key, Params
from diffusion_audio.diffusion.noise import purpose_key
from diffusion_audio.errors import unknown
from diffusion_audio.models.condition import Context
from diffusion_audio.models.gpt2 import GPT2Config, build_gpt2
from diffusion_audio.models.projection import ProjectionConfig, build_projection
from diffusion_audio.models.roberta import RobertaConfig, build_clap_text
from diffusion_audio.nn.functional import Network
from diffusion_audio.settings import of_group

NULLS = ("zeros", "generated")
Builders = dict[str, tuple[type, Callable[[Any], Network]]]
"""Of each network its settings and what builds it, by name."""


def builders(**second: tuple[type, Callable[[Any], Network]]) -> Builders:
    """The networks of a conditioner, whose second encoder is its own."""
    return {
        "clap": (RobertaConfig, build_clap_text),
        **second,
        "projection": (ProjectionConfig, build_projection),
        "gpt2": (GPT2Config, build_gpt2),
    }


def require_null(null: str, whose: str) -> None:
    """Refuses what is none of ``NULLS``: GPT-2's tokens where there is no prompt.

    ``"zeros"`` as in training and in the original, or ``"generated"`` from an empty
    text, as in diffusers.

    Raises:
        UserError: it is none.
    """
    if null not in NULLS:
        raise unknown(f"null of {whose}", null, NULLS)


class Language(NamedTuple):
    """The networks of a conditioner. Made by `build_language`.

    Attributes:
        second: name of the second encoder.
        configs: settings of each network, by name.
        networks: by name.
    """

    second: str
    configs: dict[str, Any]
    networks: dict[str, Network]

    def init(self, key: Key) -> Params:
        """Fresh parameters of all, by name."""
        return {n: each.init(purpose_key(key, n)) for n, each in self.networks.items()}

    def speak(
        self,
        params: Params,
        arrays: Mapping[str, Array],
        *,
        tokens: int,
        padding: str,
        null: str,
    ) -> tuple[Context, Context]:
        """GPT-2's tokens [B, tokens, C], and those of the second encoder [B, L, D].

        Args:
            params: by name.
            arrays: ``clap_tokens``, ``clap_mask``, those of the second encoder under
                its name, and ``given`` [B]; see `published_tokens.PublishedTokens`.
            tokens: how many GPT-2 makes.
            padding: see `models.gpt2.GPT2.generate`.
            null: one of ``NULLS``.
        """

        def run(name: str, *arguments: Any, **options: Any) -> Any:
            return self.networks[name].apply(params[name], *arguments, **options)

        vector = run("clap", arrays["clap_tokens"], arrays["clap_mask"])
        mask = arrays[f"{self.second}_mask"]
        words = Context(run(self.second, arrays[f"{self.second}_tokens"], mask), mask)
        start = run("projection", Context(vector[:, None]), words)
        options = {"steps": tokens, "padding": padding}
        made = run("gpt2", *start, method="generate", **options)
        if null == "zeros":
            made = jnp.where(arrays["given"][:, None, None], made, 0)
        return Context(made), words


def build_language(cfg: Any, parts: Builders, whose: str) -> Language:
    """The networks of a conditioner's config, which has a group for each.

    Args:
        cfg: with the settings of each network under its name.
        parts: as `builders` makes them.
        whose: what messages call the conditioner.

    Raises:
        UserError: settings cannot be.
    """
    configs: dict[str, Any] = {
        name: of_group(config, getattr(cfg, name), f"{whose}: {name}")
        for name, (config, _) in parts.items()
    }
    networks = {name: build(configs[name]) for name, (_, build) in parts.items()}
    (second,) = parts.keys() - {"clap", "projection", "gpt2"}
    return Language(second, configs, networks)
