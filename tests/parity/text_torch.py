"""What the parity tests of the text networks share."""

import jax
import numpy as np
import pytest

from diffusion_audio.nn.functional import count

torch = pytest.importorskip("torch")


def randomize(model, seed=0):
    """Every parameter random, so that nothing hides behind a zero or a one."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            scale = 0.1 if value.ndim < 2 else value.shape[-1] ** -0.5
            middle = 1 if "norm" in name.lower() and name.endswith("weight") else 0
            value.copy_(middle + scale * torch.randn(value.shape))
    return model.eval()


def arrays(model):
    """A copy of the state dict: JAX reads NumPy memory in place."""
    return {name: a.detach().numpy().copy() for name, a in model.state_dict().items()}


def ids(low, high, *shape, seed=0):
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.int32)


def lengths(longest, *each):
    """bool [B, L], True for the first tokens of each text."""
    return np.arange(longest) < np.asarray(each)[:, None]


def long(array):
    return torch.from_numpy(np.asarray(array).astype(np.int64))


def assert_close(ours, theirs):
    """Equal to a hundred-thousandth of the largest value."""
    theirs = np.asarray(theirs)
    assert np.abs(theirs).max() > 0.05
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def assert_exported(back, theirs):
    """What we write is what we read, name by name."""
    assert back.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(back[name], array)


def assert_count(make, config, params, exactly):
    """Parameters at published size: ours, theirs, and the figure that is published."""
    with torch.device("meta"):
        model = make(config)
    theirs = sum(p.numel() for p in model.parameters())
    assert count(params) == theirs == exactly


def run(network, params, *inputs, **options):
    """One compiled call."""
    return jax.jit(lambda p, *x: network.apply(p, *x, **options))(params, *inputs)
