"""Kinds of layers of PyTorch's networks, for the tables.

In a file they lie as [out, in, ...], where ours are [..., in, out].
"""

from diffusion_audio.pretrained.rules import SAME, Kind, Layout, Leaf, permuted

_BIAS = Leaf("bias", SAME)

DENSE: Kind = {"kernel": Leaf("weight", permuted(1, 0)), "bias": _BIAS}
# transformers' Conv1D, a dense layer whose matrix lies as ours does.
CONV1D: Kind = {"kernel": Leaf("weight", SAME), "bias": _BIAS}
EMBEDDING: Kind = {"embedding": Leaf("weight", SAME)}
CONV: Kind = {"kernel": Leaf("weight", permuted(2, 3, 1, 0)), "bias": _BIAS}
NORM: Kind = {"scale": Leaf("weight", SAME), "bias": _BIAS}

_POINT = Layout(
    lambda x: x.reshape(x.shape[:2] if x.shape[2:] == (1, 1) else -1).transpose(1, 0),
    lambda x: x.transpose(1, 0)[:, :, None, None],
)
POINT: Kind = {"kernel": Leaf("weight", _POINT), "bias": _BIAS}
"""A dense layer that is a convolution of one place in the file."""
BATCH_NORM: Kind = {
    **NORM,
    "mean": Leaf("running_mean", SAME),
    "variance": Leaf("running_var", SAME),
}
