import dataclasses

import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.protocol import Protocol, array_hash, text_hash

PROTOCOL = Protocol(
    metric="frechet",
    definition="float64",
    reference="0123",
    reference_clips=288,
    prompts="4567",
    clips=48,
    sample_rate=16000,
    seconds=1.024,
    loudness="as generated",
    resampler="none",
    vocoder="89ab",
    embedding="own classifier",
    embedding_weights="cdef",
    sampling_seeds=(0, 1),
    settings={"splits": 1},
)
CHANGES = {
    "sample_rate": 22050,
    "seconds": 2.0,
    "clips": 47,
    "reference_clips": 287,
    "sampling_seeds": (0, 2),
    "settings": {"splits": 10},
}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Protocol)])
def test_any_field_decides_and_is_named(field):
    other = dataclasses.replace(PROTOCOL, **{field: CHANGES.get(field, "other")})
    assert other.hash != PROTOCOL.hash
    with pytest.raises(UserError, match=rf"not comparable.*{field}"):
        PROTOCOL.require_same(other)


def test_an_equal_one_is_accepted_after_a_file():
    again = Protocol.from_dict(PROTOCOL.to_dict())
    assert again == PROTOCOL
    PROTOCOL.require_same(again)


def test_a_file_with_other_fields_is_refused():
    values = PROTOCOL.to_dict()
    with pytest.raises(UserError, match="did you mean 'seconds'"):
        Protocol.from_dict(values | {"second": 1})
    del values["clips"]
    with pytest.raises(UserError, match="lacks clips"):
        Protocol.from_dict(values)


def test_arrays_of_equal_bytes_differ():
    zeros = np.zeros(4, np.float32)
    assert array_hash(zeros) != array_hash(zeros.reshape(2, 2))
    assert array_hash(zeros) != array_hash(zeros.view(np.int32))


def test_the_order_of_prompts_is_part_of_them():
    assert text_hash(["a", "b"]) == text_hash(["a", "b"])
    assert text_hash(["a", "b"]) != text_hash(["b", "a"])
