"""Every published network that is here, and the same in PyTorch.

In diffusers or transformers, or written out, as the networks of metrics are.

What `benchmarks.networks` times and `benchmarks.parity` compares: random weights and
the way of weights, inputs and compute type to either side. PyTorch is imported when its
side is asked for.
"""

import dataclasses
import re
from typing import Any

import numpy as np

from benchmarks.encoder_kinds import ENCODER_KINDS
from benchmarks.kind import Inputs
from benchmarks.sound_kinds import SOUND_KINDS
from benchmarks.text_kinds import TEXT_KINDS
from benchmarks.whole_kind import WHOLE
from diffusion_audio.systems.dtype import of_dtype

NORM = re.compile(r"norm|\bbn\d", re.IGNORECASE)
KINDS = SOUND_KINDS | TEXT_KINDS | ENCODER_KINDS | {"whole": WHOLE}


def in_bfloat16(cfg: Any) -> Any:
    """A config, and those within it, of the other compute type."""
    group = {"denoiser": dataclasses.asdict(cfg)}
    return type(cfg)(**of_dtype(group, "bfloat16")["denoiser"])


def randomize(model: Any, seed: int = 0) -> Any:
    """Every array of a PyTorch network random: nothing hides behind a zero or a one."""
    import torch

    torch.manual_seed(seed)
    with torch.no_grad():
        for name, array in model.named_parameters():
            scale = array[0].numel() ** -0.5 if array.ndim > 1 else 0.1
            array.normal_(0.0, scale)
            if array.ndim == 1 and NORM.search(name) and "weight" in name:
                array.add_(1.0)
        for name, array in model.named_buffers():
            if name.endswith("running_mean"):
                array.normal_()
            if name.endswith("running_var"):
                array.uniform_(0.5, 1.5)
        for module in model.modules():
            # T5 does not scale its scores; as in its own initialisation the queries are
            # small instead, or attention is a choice that the last bit decides.
            if hasattr(module, "key_value_proj_dim"):
                module.q.weight.mul_(module.key_value_proj_dim**-0.5)
    return model.eval()


def arrays_of(model: Any) -> dict[str, np.ndarray]:
    """The state of a PyTorch network, in its own memory."""
    return {name: array.detach().numpy() for name, array in model.state_dict().items()}


def as_tensors(inputs: Inputs) -> dict[str, Any]:
    """Inputs for PyTorch: whole numbers are int64 there."""
    import torch

    found = {name: torch.from_numpy(array) for name, array in inputs.items()}
    return {n: x.long() if x.dtype == torch.int32 else x for n, x in found.items()}
