"""Small networks of settings that nobody chose, for `benchmarks.parity`.

Widths, heads, contexts, depths, lengths and numbers of tokens come from a generator of
random numbers; every draw is a network that PyTorch's side has too.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.published import Case
from diffusion_audio.models.adapter import AdapterConfig
from diffusion_audio.models.clip_text import ClipTextConfig
from diffusion_audio.models.cnn14 import Cnn14Config
from diffusion_audio.models.gpt2 import GPT2Config
from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.models.htsat import HTSATConfig
from diffusion_audio.models.passt import PasstConfig
from diffusion_audio.models.projection import ProjectionConfig
from diffusion_audio.models.roberta import RobertaConfig
from diffusion_audio.models.t5 import T5Config
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.models.vggish import VGGishConfig
from diffusion_audio.systems.conditioners import language_of_audio

Rng = np.random.Generator


def whole(rng: Rng, least: int, most: int) -> int:
    """A whole number, both ends included."""
    return int(rng.integers(least, most + 1))


def _unet(rng: Rng, name: str) -> Case:
    levels, groups = whole(rng, 2, 4), whole(rng, 1, 4)
    heads = tuple(whole(rng, 1, 4) for _ in range(levels))
    channels = tuple(2 * groups * n * whole(rng, 1, 3) for n in heads)
    options: dict[str, Any] = {"contexts": (whole(rng, 1, 20),)}
    if name == "audioldm":
        options = {"vector_dim": whole(rng, 1, 20)}
    if name == "audioldm2":
        first, second = whole(rng, 1, 20), whole(rng, 1, 20)
        contexts = [
            (None, first),
            (None, first, second),
            (None, first, second, None),
            (first,),
            (first, None, second),
        ]
        options = {"contexts": contexts[whole(rng, 0, 4)]}
    cfg = UNetConfig(
        in_channels=whole(rng, 1, 8),
        out_channels=whole(rng, 1, 8),
        channels=channels,
        attention=tuple(bool(whole(rng, 0, 1)) for _ in range(levels)),
        heads=heads,
        blocks=whole(rng, 1, 3),
        depth=whole(rng, 1, 2),
        scale_shift=bool(whole(rng, 0, 1)),
        projection=("conv", "linear")[whole(rng, 0, 1)],
        groups=groups,
        **options,
    )
    sizes = {"batch": whole(rng, 1, 3), "masked": bool(whole(rng, 0, 1))}
    sizes |= {"height": whole(rng, 8, 40), "width": whole(rng, 8, 24)}
    asked = sum(width is not None for width in cfg.contexts)
    return Case("unet", cfg, sizes | {"tokens": [whole(rng, 1, 30)] * asked})


def _vae(rng: Rng, way: str) -> Case:
    levels, groups = whole(rng, 2, 4), whole(rng, 1, 4)
    cfg = VAEConfig(
        in_channels=whole(rng, 1, 3),
        channels=tuple(groups * whole(rng, 1, 6) for _ in range(levels)),
        blocks=whole(rng, 1, 3),
        latent=whole(rng, 1, 8),
        mid_attention=bool(whole(rng, 0, 3)),
        groups=groups,
    )
    sizes = {"height": whole(rng, 1, 20), "width": whole(rng, 1, 9)}
    return Case(f"vae_{way}", cfg, sizes | {"batch": whole(rng, 1, 3)})


def _vocoder(rng: Rng) -> Case:
    rates = tuple(whole(rng, 2, 6) for _ in range(whole(rng, 1, 4)))
    blocks = whole(rng, 1, 3)
    cfg = HiFiGANConfig(
        n_mels=whole(rng, 1, 40),
        channels=2 ** len(rates) * whole(rng, 2, 8),
        rates=rates,
        kernels=tuple(rate + whole(rng, 0, 9) for rate in rates),
        resblock_kernels=tuple(2 * whole(rng, 1, 5) + 1 for _ in range(blocks)),
        dilations=tuple(
            tuple(whole(rng, 1, 5) for _ in range(3)) for _ in range(blocks)
        ),
        weight_norm=False,
    )
    return Case(
        "vocoder", cfg, {"batch": whole(rng, 1, 3), "frames": whole(rng, 2, 40)}
    )


def _roberta(rng: Rng, longest: int) -> RobertaConfig:
    heads = whole(rng, 1, 4)
    return RobertaConfig(
        vocabulary=whole(rng, 10, 60),
        positions=longest + 2 + whole(rng, 0, 5),
        width=heads * whole(rng, 2, 9),
        depth=whole(rng, 1, 3),
        heads=heads,
        hidden=whole(rng, 1, 60),
        projection=whole(rng, 2, 24),
    )


def _t5_config(rng: Rng) -> T5Config:
    return T5Config(
        vocabulary=whole(rng, 10, 60),
        width=whole(rng, 2, 32),
        depth=whole(rng, 1, 3),
        heads=whole(rng, 1, 4),
        head_width=whole(rng, 1, 12),
        hidden=whole(rng, 1, 60),
    )


def _gpt2_config(rng: Rng, longest: int, width: int | None = None) -> GPT2Config:
    heads = whole(rng, 1, 4)
    return GPT2Config(
        vocabulary=whole(rng, 10, 60),
        positions=longest + 8 + whole(rng, 0, 5),
        width=width or heads * whole(rng, 1, 9),
        depth=whole(rng, 1, 3),
        heads=1 if width else heads,
        hidden=whole(rng, 1, 60),
    )


def _words(rng: Rng) -> dict[str, int]:
    return {"batch": whole(rng, 1, 4), "tokens": whole(rng, 1, 60)}


def _clap_text(rng: Rng) -> Case:
    sizes = _words(rng)
    return Case("clap_text", _roberta(rng, sizes["tokens"]), sizes)


def _clap_audio(rng: Rng) -> Case:
    stages, window, heads = whole(rng, 1, 3), whole(rng, 2, 4), whole(rng, 1, 3)
    side = 4 * 2 ** (stages - 1) * whole(rng, window, window + 3)
    cfg = HTSATConfig(
        width=heads * 2 * whole(rng, 1, 4),
        depths=tuple(whole(rng, 1, 2) for _ in range(stages)),
        heads=tuple(heads * 2**i for i in range(stages)),
        window=window,
        n_mels=side // 4,
        side=side,
        embedding=whole(rng, 2, 24),
    )
    frames = whole(rng, side, 4 * side)
    return Case("clap_audio", cfg, {"batch": whole(rng, 1, 3), "frames": frames})


def _t5(rng: Rng) -> Case:
    return Case("t5", _t5_config(rng), _words(rng) | {"tokens": whole(rng, 1, 200)})


def _clip_text(rng: Rng) -> Case:
    sizes, heads = _words(rng), whole(rng, 1, 4)
    cfg = ClipTextConfig(
        vocabulary=whole(rng, 10, 60),
        max_tokens=sizes["tokens"] + whole(rng, 0, 5),
        width=heads * whole(rng, 1, 9),
        depth=whole(rng, 1, 3),
        heads=heads,
        hidden=whole(rng, 1, 60),
    )
    return Case("clip_text", cfg, sizes)


def _gpt2(rng: Rng) -> Case:
    sizes = _words(rng)
    return Case("gpt2", _gpt2_config(rng, sizes["tokens"]), sizes)


def _projection(rng: Rng) -> Case:
    cfg = ProjectionConfig(*(whole(rng, 1, 40) for _ in range(3)))
    return Case("projection", cfg, _words(rng))


def _adapter(rng: Rng) -> Case:
    cfg = AdapterConfig(condition=whole(rng, 1, 40), context=whole(rng, 2, 40))
    return Case("adapter", cfg, _words(rng))


def _language(rng: Rng) -> Case:
    sizes = {"clap": whole(rng, 1, 40), "t5": whole(rng, 1, 40)}
    clap, t5 = _roberta(rng, sizes["clap"]), _t5_config(rng)
    join = ProjectionConfig(clap.projection, t5.width, whole(rng, 4, 32))
    gpt2 = _gpt2_config(rng, sizes["t5"] + 5, join.width)
    parts = {"clap": clap, "t5": t5, "projection": join, "gpt2": gpt2}
    cfg = language_of_audio.Config(
        **{name: dataclasses.asdict(part) for name, part in parts.items()},
        padding="batch",
        null="generated",
    )
    return Case("language_of_audio", cfg, sizes | {"batch": whole(rng, 1, 3)})


def _cnn14(rng: Rng) -> Case:
    cfg = Cnn14Config(
        widths=tuple(whole(rng, 8, 24) for _ in range(whole(rng, 1, 4))),
        n_mels=whole(rng, 8, 24),
        embedding=whole(rng, 2, 24),
        classes=whole(rng, 2, 24),
    )
    frames = cfg.factor * whole(rng, 1, 5) + whole(rng, 0, cfg.factor - 1)
    return Case("cnn14", cfg, {"batch": whole(rng, 1, 3), "frames": frames})


def _vggish(rng: Rng) -> Case:
    def widths(most: int) -> tuple[int, ...]:
        return tuple(whole(rng, 8, 24) for _ in range(whole(rng, 1, most)))

    cfg = VGGishConfig(
        stages=tuple(widths(2) for _ in range(whole(rng, 1, 3))),
        frames=whole(rng, 8, 40),
        n_mels=whole(rng, 8, 24),
        hidden=widths(2),
        embedding=whole(rng, 2, 24),
        activation=bool(whole(rng, 0, 1)),
    )
    return Case("vggish", cfg, {"batch": whole(rng, 1, 3), "frames": cfg.frames})


def _passt(rng: Rng) -> Case:
    heads, patch = whole(rng, 1, 3), whole(rng, 2, 6)
    cfg = PasstConfig(
        width=heads * 2 * whole(rng, 2, 8),
        depth=whole(rng, 1, 3),
        heads=heads,
        n_mels=patch + whole(rng, 0, 12),
        frames=patch + whole(rng, 0, 60),
        patch=patch,
        stride=whole(rng, 1, patch),
        classes=whole(rng, 2, 24),
    )
    frames = whole(rng, patch, cfg.most_frames)
    return Case("passt", cfg, {"batch": whole(rng, 1, 3), "frames": frames})


DRAWS: dict[str, Callable[[Rng], Case]] = {
    "unet_audioldm": lambda rng: _unet(rng, "audioldm"),
    "unet_audioldm2": lambda rng: _unet(rng, "audioldm2"),
    "unet_auffusion": lambda rng: _unet(rng, "auffusion"),
    "vae_encode": lambda rng: _vae(rng, "encode"),
    "vae_decode": lambda rng: _vae(rng, "decode"),
    "vocoder": _vocoder,
    "clap_text": _clap_text,
    "clap_audio": _clap_audio,
    "t5": _t5,
    "clip_text": _clip_text,
    "projection": _projection,
    "gpt2": _gpt2,
    "adapter": _adapter,
    "language_of_audio": _language,
    "cnn14": _cnn14,
    "vggish": _vggish,
    "passt": _passt,
}
