import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained.rules import (
    SAME,
    Layer,
    Leaf,
    export_params,
    import_params,
    permuted,
)

KIND = {"kernel": Leaf("weight", permuted(2, 0, 1)), "bias": Leaf("bias", SAME)}
TABLE = [Layer("first", "0", KIND), Layer("deep/1", "net.1", KIND)]


def file():
    rng = np.random.default_rng(0)
    return {
        f"{name}.{leaf}": rng.normal(size=shape).astype(np.float32)
        for name in ("0", "net.1")
        for leaf, shape in (("weight", (2, 3, 5)), ("bias", (3,)))
    }


def like():
    layer = {"kernel": np.zeros((5, 2, 3), "f4"), "bias": np.zeros(3, "f4")}
    return {"first": layer, "deep": {"1": layer}}


def test_there_and_back_is_exact():
    params = import_params(TABLE, file(), like(), "file")
    kernel = file()["net.1.weight"]
    assert params["deep"]["1"]["kernel"][4, 1, 2] == kernel[1, 2, 4]
    back = export_params(TABLE, params)
    assert back.keys() == file().keys()
    for name, array in file().items():
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.pop("0.bias"), r"file lacks 0\.bias"),
        (lambda f: f.update(extra=np.zeros(1)), "no place for: extra"),
        (
            lambda f: f.update({"0.bias": np.zeros(4)}),
            r"another shape: 0\.bias is \[4\], which cannot be our \[3\]",
        ),
        (
            lambda f: f.update({"0.weight": np.zeros((2, 3))}),
            r"0\.weight is \[2, 3\], which cannot be our \[5, 2, 3\]",
        ),
        *(
            (
                lambda f, bad=bad: f.update({"0.bias": np.array([0.0, bad, 1.0])}),
                r"no weight: 0\.bias has values that are no finite float32",
            )
            for bad in (np.nan, np.inf, 1e300)
        ),
        (
            lambda f: f.update({"0.bias": np.zeros(3, np.int8)}),
            r"no weight: 0\.bias is of int8, not floating point",
        ),
        (
            lambda f: f.clear(),
            r"lacks 0\.weight, 0\.bias, net\.1\.weight, net\.1\.bias",
        ),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    source = file()
    change(source)
    with pytest.raises(UserError, match=message):
        import_params(TABLE, source, like(), "file")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE[:1], "no rule for deep/1/kernel"),
        ([TABLE[0], Layer("deep/1", "0", KIND)], "more than once"),
    ],
)
def test_a_table_that_is_wrong_is_noticed(table, message):
    with pytest.raises(KeyError, match=message):
        import_params(table, file(), like(), "file")
