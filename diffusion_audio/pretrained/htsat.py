"""The published weights of CLAP's audio tower: names of transformers and of LAION.

Our table has transformers' names; LAION's are turned into those, their query, key and
value from one matrix into three.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError, shortened
from diffusion_audio.models.htsat import HTSATConfig, build_htsat
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.nn.swin import relative_places
from diffusion_audio.pretrained.diffusers_config import (
    DEEPEST,
    each,
    flag,
    is_list,
    whole,
    wrong,
)
from diffusion_audio.pretrained.find import Found, find
from diffusion_audio.pretrained.fused import PARTS, joined_qkv, split_qkv
from diffusion_audio.pretrained.kinds import (
    BATCH_NORM,
    CONV,
    DENSE,
    NORM,
    POINT,
)
from diffusion_audio.pretrained.rules import (
    SAME,
    Arrays,
    Layer,
    Leaf,
    export_params,
    file_names,
    import_params,
    listed,
)

TINY = HTSATConfig()  # of laion/clap-htsat-unfused
TINY_FUSION = HTSATConfig(fusion=True)  # of laion/clap-htsat-fused
# Of AudioLDM-M and AudioLDM 2.
BASE = HTSATConfig(width=128, depths=(2, 2, 12, 2))

# Options that our tower has one value of, the first; others spell the same.
FIXED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("gelu",),
    "patch_embed_input_channels": (1,),
    "flatten_patch_embeds": (True,),
    "enable_patch_layer_norm": (True,),
    "qkv_bias": (True,),
    "mlp_ratio": (4.0,),
    "layer_norm_eps": (1e-5,),
}
MOST_SIDE = 4096  # of the square that a tower sees
FUSIONS = ("aff_2d", None)  # transformers builds this one, whatever its config says

ENCODER = "audio_model.audio_encoder"
OURS = re.compile(r"(^|.*\.)(audio_model|audio_projection)\.")
# What a file has beside weights: constants, counts, the front end, LAION's classifier.
UNUSED = re.compile(
    r".*\.(relative_position_index|attn_mask|num_batches_tracked)"
    r"|.*audio_model\.audio_encoder"
    r"\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\..*"
)
# LAION's names and transformers', wherever in a file they lie.
LAION = {
    "audio_branch.bn0.": f"{ENCODER}.batch_norm.",
    "audio_branch.": f"{ENCODER}.",
    "audio_projection.0.": "audio_projection.linear1.",
    "audio_projection.2.": "audio_projection.linear2.",
}
# Within a block, LAION's name and transformers'.
LAION_BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.relative_position_bias_table": "attention.self.relative_position_bias_table",
    **{f"attn.{part}": f"attention.self.{part}" for part in PARTS},
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
BLOCK = re.compile(r"(.*audio_encoder\.layers\.\d+\.blocks\.\d+)\.(.+)")


def clap_audio_config(config: Mapping[str, Any], whose: str) -> HTSATConfig:
    """The tower's shape from its config.json, or from a whole CLAP's.

    Raises:
        UserError: the file asks for what our tower has not.
    """
    own = config.get("audio_config", config)
    if not isinstance(own, Mapping):
        raise UserError(
            f"{whose}: expected audio_config to be an object, got "
            f"{shortened(repr(own))}"
        )
    for name, values in FIXED.items():
        if name in own and own[name] not in values:
            raise wrong(name, own[name], repr(values[0]), whose)
    depths = own.get("depths", TINY.depths)
    if not is_list(depths):
        raise wrong("depths", depths, "a list of whole numbers", whose)
    depths = each({"depths": depths}, "depths", 0, len(depths), whose)
    if max(depths) > DEEPEST:
        raise wrong("depths", depths, f"at most {DEEPEST} of a stage", whose)
    heads = {"num_attention_heads": own.get("num_attention_heads", TINY.heads)}
    patch = whole(own, "patch_size", 4, whose)
    stride = own.get("patch_stride", patch)
    if stride not in (patch, [patch, patch], (patch, patch)):
        raise wrong("patch_stride", stride, f"{patch}, as patch_size", whose)
    fusion = flag(own, "enable_fusion", False, whose)
    if fusion and own.get("fusion_type") not in FUSIONS:
        raise wrong("fusion_type", own["fusion_type"], FUSIONS[0], whose)
    # A whole CLAP's own projection goes before what is said of its towers.
    act = config.get("projection_hidden_act", "relu")
    if act != "relu":
        raise wrong("projection_hidden_act", act, "relu", whose)
    return HTSATConfig(
        width=whole(own, "patch_embeds_hidden_size", TINY.width, whose),
        depths=depths,
        heads=each(heads, "num_attention_heads", 0, len(depths), whose),
        window=whole(own, "window_size", TINY.window, whose),
        n_mels=whole(own, "num_mel_bins", TINY.n_mels, whose),
        side=whole(own, "spec_size", TINY.side, whose, MOST_SIDE),
        patch=patch,
        fusion=fusion,
        reduction=whole(own, "aff_block_r", TINY.reduction, whose),
        embedding=whole(config, "projection_dim", TINY.embedding, whose),
    )


def table(cfg: HTSATConfig) -> Iterator[Layer]:
    """The layers of a tower."""
    yield Layer("norm_in", f"{ENCODER}.batch_norm", BATCH_NORM)
    yield Layer("norm_out", f"{ENCODER}.norm", NORM)
    yield Layer("linear1", "audio_projection.linear1", DENSE)
    yield Layer("linear2", "audio_projection.linear2", DENSE)
    patches = f"{ENCODER}.patch_embed"
    yield Layer("patches/proj", f"{patches}.proj", CONV)
    yield Layer("patches/norm", f"{patches}.norm", NORM)
    yield Layer("patches/crops", f"{patches}.mel_conv2d", CONV)
    # The gate of the mean counts the mean as its first layer.
    for ours, theirs, first in (("local", "local_att", 0), ("global", "global_att", 1)):
        gate, name = f"patches/fuse/{ours}_gate", f"{patches}.fusion_model.{theirs}"
        yield Layer(f"{gate}/dense1", f"{name}.{first}", POINT)
        yield Layer(f"{gate}/norm1", f"{name}.{first + 1}", BATCH_NORM)
        yield Layer(f"{gate}/dense2", f"{name}.{first + 3}", POINT)
        yield Layer(f"{gate}/norm2", f"{name}.{first + 4}", BATCH_NORM)
    for i, depth in enumerate(cfg.depths):
        stage = f"{ENCODER}.layers.{i}"
        merging = f"stages/{i}/merging"
        yield Layer(f"{merging}/norm", f"{stage}.downsample.norm", NORM)
        yield Layer(f"{merging}/reduction", f"{stage}.downsample.reduction", DENSE)
        for j in range(depth):
            yield from _block(f"stages/{i}/blocks/{j}", f"{stage}.blocks.{j}")


def canonical(source: Mapping[str, np.ndarray]) -> Arrays:
    """The audio tower's weights among all of a file, under transformers' names.

    Raises:
        UserError: one array is there under two spellings.
    """
    named: Arrays = {}
    for name, array in split_qkv(source).items():
        name = _modern(name)
        if not OURS.match(name) or UNUSED.fullmatch(name):
            continue
        if name in named:
            raise UserError(
                f"the weights have {listed([name])} twice, under two spellings"
            )
        named[name] = array
    return named


def find_clap_audio(
    cfg: HTSATConfig,
    source: Mapping[str, np.ndarray],
    whose: str,
    take: str | None = None,
) -> Found[Params]:
    """A tower among all arrays of a file, by either naming; see `find`.

    Raises:
        UserError: none or several of this config are in it.
    """
    like = abstract_params(build_htsat(cfg))
    layers = list(table(cfg))

    def fit(arrays: Arrays, where: str) -> Params:
        return import_params(layers, arrays, like, where)

    return find(canonical(source), file_names(layers, like), fit, whose, take)


def export_clap_audio(cfg: HTSATConfig, params: Params) -> Arrays:
    """Transformers' names and layouts of a tower's parameters, and its constants."""
    arrays = export_params(table(cfg), params)
    for name in list(arrays):
        stem = name.removesuffix("running_mean")
        if stem != name:
            arrays[f"{stem}num_batches_tracked"] = np.zeros((), np.int64)
        stem = name.removesuffix("relative_position_bias_table")
        if stem != name:
            places = relative_places(cfg.window)
            arrays[f"{stem}relative_position_index"] = places.astype(np.int64)
    return arrays


def export_laion(cfg: HTSATConfig, params: Params) -> Arrays:
    """LAION's names and layouts of a tower's parameters, without its constants."""
    arrays = export_params(table(cfg), params)
    return joined_qkv({_laion(name): array for name, array in arrays.items()})


def _block(ours: str, theirs: str) -> Iterator[Layer]:
    yield Layer(f"{ours}/norm1", f"{theirs}.layernorm_before", NORM)
    yield Layer(f"{ours}/norm2", f"{theirs}.layernorm_after", NORM)
    bias = {"bias_table": Leaf("relative_position_bias_table", SAME)}
    yield Layer(f"{ours}/attn", f"{theirs}.attention.self", bias)
    for name in PARTS:
        yield Layer(
            f"{ours}/attn/to_{name[0]}", f"{theirs}.attention.self.{name}", DENSE
        )
    yield Layer(f"{ours}/attn/to_out", f"{theirs}.attention.output.dense", DENSE)
    yield Layer(f"{ours}/fc1", f"{theirs}.intermediate.dense", DENSE)
    yield Layer(f"{ours}/fc2", f"{theirs}.output.dense", DENSE)


def _modern(name: str) -> str:
    """Transformers' name of an array."""
    for laion, theirs in LAION.items():
        name = re.sub(rf"(^|(?<=\.)){re.escape(laion)}", theirs, name)
    if found := BLOCK.fullmatch(name):
        for laion, theirs in LAION_BLOCK.items():
            if f"{found[2]}.".startswith(f"{laion}."):
                return f"{found[1]}.{theirs}{found[2].removeprefix(laion)}"
    return name


def _laion(name: str) -> str:
    """LAION's name of an array."""
    if found := BLOCK.fullmatch(name):
        for laion, theirs in LAION_BLOCK.items():
            if f"{found[2]}.".startswith(f"{theirs}."):
                name = f"{found[1]}.{laion}{found[2].removeprefix(theirs)}"
    for laion, theirs in LAION.items():
        if name.startswith(theirs):
            return laion + name.removeprefix(theirs)
    return name


def clap_audio_json(cfg: HTSATConfig) -> dict[str, Any]:
    """Transformers' config of a tower; `clap_audio_config` reads it back."""
    return {
        "model_type": "clap_audio_model",
        "patch_embeds_hidden_size": cfg.width,
        "depths": list(cfg.depths),
        "num_attention_heads": list(cfg.heads),
        "num_hidden_layers": len(cfg.depths),
        "hidden_size": cfg.width * 2 ** (len(cfg.depths) - 1),
        "window_size": cfg.window,
        "num_mel_bins": cfg.n_mels,
        "spec_size": cfg.side,
        "patch_size": cfg.patch,
        "patch_stride": [cfg.patch, cfg.patch],
        "enable_fusion": cfg.fusion,
        "fusion_type": "aff_2d" if cfg.fusion else None,
        "aff_block_r": cfg.reduction,
        "projection_dim": cfg.embedding,
    }
