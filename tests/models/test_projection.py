import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.condition import Context
from diffusion_audio.models.projection import ProjectionConfig, build_projection
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.pretrained.projection import AUDIOLDM2
from tests.networks import normal, random_params

FIRST, SECOND = normal(2, 1, 3), normal(2, 4, 5)


def test_the_parts_stand_in_order_between_their_tokens():
    net = build_projection(ProjectionConfig(3, 5, 6, positions=7))
    params = random_params(net)
    out = net.apply(params, Context(FIRST), Context(SECOND))
    assert out.mask is None
    dense = [params["project_1"], params["project_2"]]
    parts = [FIRST, SECOND + params["positions"][:4]]
    parts = [
        x @ layer["kernel"] + layer["bias"]
        for x, layer in zip(parts, dense, strict=True)
    ]
    for row in range(2):
        expected = [
            params["begin_1"],
            *parts[0][row],
            params["end_1"],
            params["begin_2"],
            *parts[1][row],
            params["end_2"],
        ]
        np.testing.assert_allclose(out.tokens[row], np.stack(expected), atol=1e-5)


def test_the_tokens_between_are_never_masked():
    net = build_projection(ProjectionConfig(3, 5, 6))
    mask = jnp.asarray([[1, 1, 0, 0], [0, 0, 0, 0]])
    out = net.apply(random_params(net), Context(FIRST), Context(SECOND, mask))
    assert out.mask.dtype == bool
    assert out.mask.tolist() == [
        [1, 1, 1, 1, 1, 1, 0, 0, 1],
        [1, 1, 1, 1, 0, 0, 0, 0, 1],
    ]


def test_published_projections_have_as_many_parameters():
    assert count(abstract_params(build_projection(AUDIOLDM2))) == 1_184_256


def test_mistakes_are_refused():
    net = build_projection(ProjectionConfig(3, 5, 6, positions=3))
    with pytest.raises(UserError, match="at most 3 tokens of the second encoder, got"):
        net.apply(random_params(net), Context(FIRST), Context(SECOND))
    with pytest.raises(UserError, match="unknown dtype"):
        ProjectionConfig(3, 5, 6, dtype="int8")
