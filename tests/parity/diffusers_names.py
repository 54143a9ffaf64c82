"""Our parameter names to diffusers' state-dict names, as rules on the joined path."""

import jax
import numpy as np

RULES = (
    (".downsampler.", ".downsamplers.0."),
    (".upsampler.", ".upsamplers.0."),
    (".to_out.", ".to_out.0."),
    (".ff.proj.", ".ff.net.0.proj."),
    (".ff.out.", ".ff.net.2."),
    (".attn.", "."),
    (".kernel", ".weight"),
    (".scale", ".weight"),
)


def from_state_dict(shapes, state):
    """Our nested dict from a PyTorch state dict; each tensor is used exactly once."""
    left = dict(state)

    def take(path, leaf):
        name = ".".join(entry.key for entry in path)
        for ours, theirs in RULES:
            name = name.replace(ours, theirs)
        value = left.pop(name).detach().numpy()
        if value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)
        elif value.ndim == 2:
            value = value.T
        assert value.shape == leaf.shape, name
        return np.ascontiguousarray(value)

    params = jax.tree_util.tree_map_with_path(take, shapes)
    assert not left, f"not used: {sorted(left)}"
    return params
