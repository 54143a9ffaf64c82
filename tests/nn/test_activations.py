import math

import numpy as np
import pytest

from diffusion_audio.nn.activations import ACTIVATIONS

X = np.linspace(-4, 4, 33, dtype=np.float32)
DEFINITIONS = {
    "relu": lambda x: max(x, 0.0),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "gelu_new": lambda x: (
        x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    ),
    "quick_gelu": lambda x: x / (1 + math.exp(-1.702 * x)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_equals_the_definition(name):
    expected = [DEFINITIONS[name](float(x)) for x in X]
    np.testing.assert_allclose(ACTIVATIONS[name](X), expected, atol=1e-6)
