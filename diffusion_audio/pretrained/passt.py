"""The published weights of PaSST, by the names of their code.

Query, key and value lie in one matrix there. The head of the distillation token is of
training alone and is left out.
"""

import re
from collections.abc import Iterator, Mapping

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.models.passt import PasstConfig, build_passt
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.find import Found, find
from diffusion_audio.pretrained.fused import PARTS, joined_qkv, split_qkv
from diffusion_audio.pretrained.kinds import CONV, DENSE, NORM
from diffusion_audio.pretrained.rules import (
    Arrays,
    Kind,
    Layer,
    Layout,
    Leaf,
    export_params,
    file_names,
    import_params,
)

TOKEN = Layout(lambda x: x.reshape(-1), lambda x: x[None, None])
TOKENS: Kind = {
    "class_token": Leaf("cls_token", TOKEN),
    "distillation_token": Leaf("dist_token", TOKEN),
    "token_places": Leaf("new_pos_embed", Layout(lambda x: x[0], lambda x: x[None])),
    "bands": Leaf(  # [1, C, F, 1] there
        "freq_new_pos_embed",
        Layout(lambda x: x[0, :, :, 0].T, lambda x: x.T[None, :, :, None]),
    ),
    "times": Leaf(  # [1, C, 1, T] there
        "time_new_pos_embed",
        Layout(lambda x: x[0, :, 0].T, lambda x: x.T[None, :, None]),
    ),
}
UNUSED = re.compile(r"head_dist\.(weight|bias)")


def table(cfg: PasstConfig) -> Iterator[Layer]:
    """The layers of a network, and the arrays that lie under none."""
    yield Layer("", "", TOKENS)
    yield Layer("patches", "patch_embed.proj", CONV)
    for i in range(cfg.depth):
        ours, theirs = f"blocks/{i}", f"blocks.{i}"
        yield Layer(f"{ours}/norm1", f"{theirs}.norm1", NORM)
        yield Layer(f"{ours}/norm2", f"{theirs}.norm2", NORM)
        for name in PARTS:
            yield Layer(f"{ours}/attn/to_{name[0]}", f"{theirs}.attn.{name}", DENSE)
        yield Layer(f"{ours}/attn/to_out", f"{theirs}.attn.proj", DENSE)
        yield Layer(f"{ours}/fc1", f"{theirs}.mlp.fc1", DENSE)
        yield Layer(f"{ours}/fc2", f"{theirs}.mlp.fc2", DENSE)
    yield Layer("norm", "norm", NORM)
    yield Layer("head_norm", "head.0", NORM)
    yield Layer("classify", "head.1", DENSE)


def find_passt(
    cfg: PasstConfig,
    source: Mapping[str, np.ndarray],
    whose: str,
    take: str | None = None,
) -> Found[Params]:
    """The network among all arrays of a file; see `find`.

    Raises:
        UserError: none or several of this config are in it.
    """
    like = abstract_params(build_passt(cfg))
    layers = list(table(cfg))

    def fit(arrays: Arrays, where: str) -> Params:
        kept = {name: x for name, x in arrays.items() if not UNUSED.fullmatch(name)}
        return import_params(layers, kept, like, where)

    return find(split_qkv(source), file_names(layers, like), fit, whose, take)


def export_passt(cfg: PasstConfig, params: Params) -> Arrays:
    """The published names and layouts, but for the distillation token's head."""
    return joined_qkv(export_params(table(cfg), params))
