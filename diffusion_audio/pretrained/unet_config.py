"""Diffusers' config.json of a UNet: read as our config, and written."""

from collections.abc import Mapping
from typing import Any

from diffusion_audio.errors import UserError
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.pretrained.diffusers_config import (
    each,
    flag,
    is_list,
    is_whole,
    refuse_others,
    require_class,
    same,
    whole,
    widths,
    wrong,
)

AUDIOLDM2 = "AudioLDM2UNet2DConditionModel"
CLASSES = ("UNet2DConditionModel", AUDIOLDM2)
CROSS, PLAIN = "CrossAttn{}Block2D", "{}Block2D"
SHIFTS = {"default": False, "scale_shift": True}

# Options that our UNet has one value of, the first; others spell the same.
FIXED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "attention_type": ("default",),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "downsample_padding": (1,),
    "flip_sin_to_cos": (True,),
    "freq_shift": (0,),
    "mid_block_scale_factor": (1,),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "norm_eps": (1e-5,),
    "resnet_out_scale_factor": (1,),
    "time_embedding_type": ("positional",),
}
READ = {
    *("in_channels", "out_channels", "block_out_channels", "layers_per_block"),
    *("down_block_types", "up_block_types", "attention_head_dim"),
    *("num_attention_heads", "cross_attention_dim", "transformer_layers_per_block"),
    *("use_linear_projection", "norm_num_groups", "resnet_time_scale_shift"),
    *("class_embed_type", "class_embeddings_concat"),
    "projection_class_embeddings_input_dim",
}


def unet_config(config: Mapping[str, Any], whose: str) -> UNetConfig:
    """Our settings from diffusers'.

    Heads are as diffusers has them, whose ``attention_head_dim`` is their number. The
    original code of AudioLDM and AudioLDM 2 has other heads over the same weights.

    Args:
        config: as it was read.
        whose: what it is, for errors.

    Raises:
        UserError: it is of another class, asks for what our UNet does not do, or has a
            value of the wrong type.
    """
    require_class(config, CLASSES, whose)
    refuse_others(config, FIXED, READ, whose)
    channels = widths(config, (320, 640, 1280, 1280), whose)
    levels = len(channels)
    attention = _attention(config, levels, whose)
    heads = "num_attention_heads"
    if config.get(heads) is None:
        heads = "attention_head_dim"
    shift = config.get("resnet_time_scale_shift", "default")
    if not isinstance(shift, str) or shift not in SHIFTS:
        raise wrong("resnet_time_scale_shift", shift, " or ".join(SHIFTS), whose)
    linear = flag(config, "use_linear_projection", False, whose)
    return UNetConfig(
        in_channels=whole(config, "in_channels", 4, whose),
        out_channels=whole(config, "out_channels", 4, whose),
        channels=channels,
        attention=attention,
        heads=each(config, heads, 8, levels, whose),
        blocks=same(config, "layers_per_block", 2, levels, whose),
        contexts=_contexts(config, channels, attention, whose),
        depth=same(config, "transformer_layers_per_block", 1, levels, whose),
        vector_dim=_vector_dim(config, whose),
        scale_shift=SHIFTS[shift],
        projection="linear" if linear else "conv",
        groups=whole(config, "norm_num_groups", 32, whose),
    )


def unet_json(cfg: UNetConfig) -> dict[str, Any]:
    """Diffusers' config.json of one of our UNets; `unet_config` reads it back.

    Raises:
        UserError: diffusers has no such UNet.
    """
    if not _routed(cfg.contexts):
        raise UserError(
            f"diffusers has no UNet of contexts {cfg.contexts}: expected 1 to 4, a "
            "width among the first two and one among the others at most"
        )
    kinds = [CROSS if attention else PLAIN for attention in cfg.attention]
    name = CLASSES[0]
    contexts: Any = cfg.contexts[0]
    if cfg.contexts == (None,):
        contexts = list(cfg.channels)
    elif len(cfg.contexts) > 1:
        name, contexts = AUDIOLDM2, [list(cfg.contexts)] * len(cfg.channels)
    found: dict[str, Any] = {
        "_class_name": name,
        "in_channels": cfg.in_channels,
        "out_channels": cfg.out_channels,
        "block_out_channels": list(cfg.channels),
        "down_block_types": [kind.format("Down") for kind in kinds],
        "up_block_types": [kind.format("Up") for kind in reversed(kinds)],
        "layers_per_block": cfg.blocks,
        "attention_head_dim": list(cfg.heads),
        "cross_attention_dim": contexts,
        "transformer_layers_per_block": cfg.depth,
        "use_linear_projection": cfg.projection == "linear",
        "norm_num_groups": cfg.groups,
        "resnet_time_scale_shift": "scale_shift" if cfg.scale_shift else "default",
    }
    if cfg.vector_dim is not None:
        found["class_embed_type"] = "simple_projection"
        found["class_embeddings_concat"] = True
        found["projection_class_embeddings_input_dim"] = cfg.vector_dim
    return found


def _attention(config: Mapping[str, Any], levels: int, whose: str) -> tuple[bool, ...]:
    """Which levels have transformers, by the words for their blocks."""
    defaults = {"Down": [True] * (levels - 1) + [False]}
    defaults["Up"] = defaults["Down"][::-1]
    found = {}
    for name, way in (("down_block_types", "Down"), ("up_block_types", "Up")):
        words = {PLAIN.format(way): False, CROSS.format(way): True}
        value = config.get(name)
        if value is None:
            found[way] = defaults[way]
        elif not is_list(value) or not all(str(word) in words for word in value):
            raise wrong(name, value, f"a list of {' and '.join(words)}", whose)
        else:
            found[way] = [words[word] for word in value]
        if len(found[way]) != levels:
            raise wrong(name, value, f"one for each of {levels} levels", whose)
    if found["Up"] != found["Down"][::-1]:
        value = config.get("up_block_types")
        raise wrong("up_block_types", value, "down_block_types backwards", whose)
    return tuple(found["Down"])


def _contexts(
    config: Mapping[str, Any],
    channels: tuple[int, ...],
    attention: tuple[bool, ...],
    whose: str,
) -> tuple[int | None, ...]:
    """What the stacks of every site attend to; all levels must have the same."""
    name = "cross_attention_dim"
    value = config.get(name, 1280)
    several = config["_class_name"] == AUDIOLDM2
    rows = value if is_list(value) else [value] * len(channels)
    if tuple(rows) == channels and is_list(value) and not several:
        return (None,)  # as AudioLDM's, which is handed no context
    if len(rows) != len(channels):
        raise wrong(name, value, f"one for each of {len(channels)} levels", whose)
    # The middle takes the last.
    used = [row for row, has in zip(rows, attention, strict=True) if has] + [rows[-1]]
    if any(row != used[0] for row in used):
        raise wrong(name, value, "the same at each level that has attention", whose)
    row = used[0] if several and is_list(used[0]) else [used[0]]
    if not all(is_whole(width) or (width is None and several) for width in row):
        raise wrong(name, value, "whole numbers", whose)
    if not _routed(tuple(row)):
        raise wrong(name, value, "a width among the first two at most", whose)
    return tuple(row)


def _routed(contexts: tuple[int | None, ...]) -> bool:
    """Whether diffusers hands AudioLDM 2's stacks the contexts that ours would take.

    Theirs take the first context at the first two places, the second at the others.
    """
    places = [i for i, width in enumerate(contexts) if width is not None]
    first, second = places[:1], places[1:]
    return (
        1 <= len(contexts) <= 4
        and all(place <= 1 for place in first)
        and len(second) <= 1
        and all(place >= 2 for place in second)
    )


def _vector_dim(config: Mapping[str, Any], whose: str) -> int | None:
    """Width of AudioLDM's vector, which is projected and joined to the time."""
    kind = config.get("class_embed_type")
    joined = flag(config, "class_embeddings_concat", False, whose)
    if kind is None and not joined:
        return None
    if kind != "simple_projection" or not joined:
        expected = "null, or simple_projection with class_embeddings_concat"
        raise wrong("class_embed_type", kind, expected, whose)
    return whole(config, "projection_class_embeddings_input_dim", None, whose)
