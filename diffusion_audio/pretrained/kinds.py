"""Kinds of layers that PyTorch's networks of tokens are made of, for the tables."""

from diffusion_audio.pretrained.rules import SAME, Kind, Leaf, permuted

DENSE: Kind = {"kernel": Leaf("weight", permuted(1, 0)), "bias": Leaf("bias", SAME)}
# transformers' Conv1D, a dense layer whose matrix lies as ours does.
CONV1D: Kind = {"kernel": Leaf("weight", SAME), "bias": Leaf("bias", SAME)}
EMBEDDING: Kind = {"embedding": Leaf("weight", SAME)}
NORM: Kind = {"scale": Leaf("weight", SAME), "bias": Leaf("bias", SAME)}
