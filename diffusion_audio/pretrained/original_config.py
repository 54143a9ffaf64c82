"""Configs of networks from the shapes of their arrays: an original's file has no other.

What shapes do not say is what every published AudioLDM and AudioLDM 2 has: the groups
of norms, the widths of heads, the rates and dilations of the vocoder, activations.
"""

import math
import re
from collections.abc import Mapping, Sequence

from diffusion_audio.errors import UserError
from diffusion_audio.models.gpt2 import GPT2Config
from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.models.htsat import HTSATConfig
from diffusion_audio.models.projection import ProjectionConfig
from diffusion_audio.models.roberta import RobertaConfig
from diffusion_audio.models.t5 import T5Config
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.pretrained.presets import trained_heads
from diffusion_audio.pretrained.rules import listed

TEXT_HEAD = 64  # channels of a head in RoBERTa and GPT-2
RATES = {  # of the vocoders, by their kernels
    (16, 16, 8, 4, 4): (5, 4, 2, 2, 2),
    (12, 10, 8, 4, 4): (6, 5, 4, 2, 2),
}
DILATIONS = (1, 3, 5)


class Shapes:
    """Shapes of a network's arrays by name, and whose they are.

    Args:
        shapes: by name.
        whose: what the file is, for errors.
        under: beginning of the names that are meant; it is taken off.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], whose: str, under: str = ""
    ):
        self.named = {
            name.removeprefix(under): shape
            for name, shape in shapes.items()
            if name.startswith(under)
        }
        self.whose, self.key = whose, under

    def under(self, key: str) -> "Shapes":
        """Those of the names that begin with a key, without it."""
        found = Shapes(self.named, self.whose, key)
        found.key = self.key + key
        return found

    def of(self, name: str, rank: int) -> tuple[int, ...]:
        """The shape of an array that must be there, of a number of axes.

        Raises:
            UserError: it is not.
        """
        shape = self.named.get(name)
        if shape is None or len(shape) != rank or not all(shape):
            came = "it lacks that" if shape is None else f"that has shape {list(shape)}"
            raise UserError(
                f"{self.whose}: expected {listed([self.key + name])} with {rank} axes, "
                f"and {came}; are these weights of another model?"
            )
        return shape

    def count(self, pattern: str, first: int = 0) -> int:
        """How many there are of a name with a number, ``{}``, that counts on."""
        number = first
        while pattern.format(number) in self.named:
            number += 1
        return number - first

    def has(self, pattern: str) -> bool:
        """Whether a name begins with what a regular expression says."""
        return any(re.match(pattern, name) for name in self.named)


def unet(shapes: Shapes) -> UNetConfig:
    """A UNet's, with the heads that it was trained with.

    Raises:
        UserError: it is none of AudioLDM's kind.
    """
    levels = _levels(shapes)
    channels = tuple(level[0].of("0.out_layers.3.weight", 4)[0] for level in levels)
    attention = tuple(_stacks(level[0]) > 0 for level in levels)
    middle = shapes.under("middle_block.")
    sites = [level[0] for level, has in zip(levels, attention, strict=True) if has]
    vector = shapes.of("film_emb.weight", 2)[1] if shapes.has("film_emb") else None
    return UNetConfig(
        in_channels=shapes.of("input_blocks.0.0.weight", 4)[1],
        out_channels=shapes.of("out.2.weight", 4)[0],
        channels=channels,
        attention=attention,
        heads=tuple(trained_heads(channels)),
        blocks=len(levels[0]),
        contexts=_contexts([*sites, middle]),
        depth=middle.count("1.transformer_blocks.{}.norm1.weight"),
        vector_dim=vector,
    )


def vae(shapes: Shapes) -> VAEConfig:
    """An autoencoder's.

    Raises:
        UserError: it is none of latent diffusion's.
    """
    levels = shapes.count("encoder.down.{}.block.0.conv1.weight")
    return VAEConfig(
        in_channels=shapes.of("encoder.conv_in.weight", 4)[1],
        channels=tuple(
            shapes.of(f"encoder.down.{i}.block.0.conv1.weight", 4)[0]
            for i in range(levels)
        ),
        blocks=shapes.count("encoder.down.0.block.{}.conv1.weight"),
        latent=shapes.of("post_quant_conv.weight", 4)[1],
        mid_attention=shapes.has(r"encoder\.mid\.attn_1"),
    )


def vocoder(shapes: Shapes) -> HiFiGANConfig:
    """A HiFi-GAN's, weight norm removed.

    At 48 kHz too it is run by code that pads (kernel - rate) // 2, whatever it was
    trained by: the odd sample lies at the end.

    Raises:
        UserError: it is none, or of kernels whose rates are not known.
    """
    channels, n_mels, _ = _kernel(shapes, "conv_pre")
    stages = shapes.count("ups.{}.bias")
    kernels = tuple(_kernel(shapes, f"ups.{i}")[2] for i in range(stages))
    if kernels not in RATES:
        raise UserError(
            f"{shapes.whose}: its vocoder has kernels {list(kernels)}; expected "
            f"{' or '.join(str(list(known)) for known in RATES)}, whose rates are known"
        )
    blocks = shapes.count("resblocks.{}.convs1.0.bias") // stages
    widths = [_kernel(shapes, f"resblocks.{i}.convs1.0")[2] for i in range(blocks)]
    depths = [shapes.count(f"resblocks.{i}.convs1.{{}}.bias") for i in range(blocks)]
    return HiFiGANConfig(
        n_mels=n_mels,
        channels=channels,
        rates=RATES[kernels],
        kernels=kernels,
        resblock_kernels=tuple(widths),
        dilations=tuple(DILATIONS[:depth] for depth in depths),
        weight_norm=False,
        cut="end",
    )


def clap_text(shapes: Shapes) -> RobertaConfig:
    """That of CLAP's text tower, of LAION's names.

    Raises:
        UserError: there is none.
    """
    tower = shapes.under("text_branch.")
    vocabulary, width = tower.of("embeddings.word_embeddings.weight", 2)
    return RobertaConfig(
        vocabulary=vocabulary,
        positions=tower.of("embeddings.position_embeddings.weight", 2)[0],
        width=width,
        depth=tower.count("encoder.layer.{}.output.dense.weight"),
        heads=_text_heads(width),
        hidden=tower.of("encoder.layer.0.intermediate.dense.weight", 2)[0],
        projection=shapes.of("text_projection.0.weight", 2)[0],
        types=tower.of("embeddings.token_type_embeddings.weight", 2)[0],
        epsilon=1e-5,
    )


def clap_audio(shapes: Shapes) -> HTSATConfig:
    """That of CLAP's audio tower, of LAION's names.

    Raises:
        UserError: there is none.
    """
    tower = shapes.under("audio_branch.")
    stages = tower.count("layers.{}.blocks.0.norm1.weight")
    table = "layers.{}.blocks.0.attn.relative_position_bias_table"
    tables = [tower.of(table.format(i), 2) for i in range(stages)]
    width, _, patch, _ = tower.of("patch_embed.proj.weight", 4)
    places = tower.of(table.format(0), 2)[0]  # of a window: (2 side - 1)^2
    return HTSATConfig(
        width=width,
        depths=tuple(
            tower.count(f"layers.{i}.blocks.{{}}.norm1.weight") for i in range(stages)
        ),
        heads=tuple(heads for _, heads in tables),
        window=(math.isqrt(places) + 1) // 2,
        n_mels=tower.of("bn0.weight", 1)[0],
        patch=patch,
        embedding=shapes.of("audio_projection.0.weight", 2)[0],
    )


def t5(shapes: Shapes) -> T5Config:
    """That of T5's encoder.

    Raises:
        UserError: there is none.
    """
    vocabulary, width = shapes.of("shared.weight", 2)
    first = shapes.under("encoder.block.0.layer.")
    buckets, heads = first.of("0.SelfAttention.relative_attention_bias.weight", 2)
    gated = first.has(r"1\.DenseReluDense\.wi_0\.")
    return T5Config(
        vocabulary=vocabulary,
        width=width,
        depth=shapes.count("encoder.block.{}.layer.0.layer_norm.weight"),
        heads=heads,
        head_width=first.of("0.SelfAttention.q.weight", 2)[0] // heads,
        hidden=first.of("1.DenseReluDense.wo.weight", 2)[1],
        activation="gelu_new" if gated else "relu",
        gated=gated,
        buckets=buckets,
    )


def gpt2(shapes: Shapes) -> GPT2Config:
    """GPT-2's.

    Raises:
        UserError: there is none.
    """
    vocabulary, width = shapes.of("wte.weight", 2)
    return GPT2Config(
        vocabulary=vocabulary,
        positions=shapes.of("wpe.weight", 2)[0],
        width=width,
        depth=shapes.count("h.{}.ln_1.weight"),
        heads=_text_heads(width),
        hidden=shapes.of("h.0.mlp.c_fc.weight", 2)[1],
    )


def projection(shapes: Shapes) -> ProjectionConfig:
    """That of what joins CLAP and T5 for GPT-2.

    Raises:
        UserError: there is none.
    """
    linear = shapes.under("input_sequence_embed_linear.")
    width, first = linear.of("0.weight", 2)
    return ProjectionConfig(first, linear.of("1.weight", 2)[1], width)


def _levels(shapes: Shapes) -> list[list[Shapes]]:
    """The residual blocks of the way down, by level; each but the last one halves."""
    levels: list[list[Shapes]] = [[]]
    number = 1
    while True:
        block = shapes.under(f"input_blocks.{number}.")
        if block.has(r"0\.op\."):
            levels.append([])
        elif block.has(r"0\.in_layers\."):
            levels[-1].append(block)
        else:
            break
        number += 1
    if not all(levels):
        raise UserError(
            f"{shapes.whose}: expected a UNet with residual blocks at each of its "
            f"{len(levels)} levels, and one has none; are these weights of another "
            "model?"
        )
    return levels


def _stacks(site: Shapes) -> int:
    return site.count("{}.proj_in.weight", first=1)


def _contexts(sites: Sequence[Shapes]) -> tuple[int | None, ...]:
    """What the stacks of each site attend to: themselves, or a context of a width."""
    contexts: list[int | None] = []
    for i in range(1, 1 + _stacks(sites[-1])):
        name = f"{i}.transformer_blocks.0.attn2.to_k.weight"
        seen = [site.of(name, 2)[1] for site in sites]
        own = [site.of(f"{i}.norm.weight", 1)[0] for site in sites]
        if seen != own and len(set(seen)) > 1:
            raise UserError(
                f"{sites[0].whose}: its UNet attends to contexts of widths {seen} with "
                f"its stack {i}; expected one width, or its own {own}"
            )
        contexts.append(None if seen == own else seen[0])
    return tuple(contexts)


def _kernel(shapes: Shapes, name: str) -> tuple[int, ...]:
    """The shape of a convolution's kernel, with weight norm or without."""
    norm = f"{name}.weight_v" in shapes.named
    return shapes.of(f"{name}.weight_v" if norm else f"{name}.weight", 3)


def _text_heads(width: int) -> int:
    return max(1, width // TEXT_HEAD)
