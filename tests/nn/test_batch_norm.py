import numpy as np

from diffusion_audio.nn.batch_norm import FixedBatchNorm
from diffusion_audio.nn.functional import functional
from tests.networks import normal, random_params


def test_each_channel_by_its_own_statistics():
    network = functional(lambda rngs: FixedBatchNorm(3, epsilon=0.1, dtype="float32"))
    params = random_params(network)
    x = normal(2, 5, 3)
    expected = (x - params["mean"]) / np.sqrt(params["variance"] + 0.1)
    expected = expected * params["scale"] + params["bias"]
    np.testing.assert_allclose(network.apply(params, x), expected, rtol=1e-5)
