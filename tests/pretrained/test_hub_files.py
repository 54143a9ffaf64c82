"""What is taken of a list of the hub, and what is not."""

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained.hub_files import (
    LARGEST_FILE,
    LARGEST_TEXT,
    MOST_FILES,
    Remote,
    check,
    choose,
)

UNET, VAE = "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"
SYSTEM = (
    *("model_index.json", "scheduler/scheduler_config.json"),
    *("unet/config.json", "vae/config.json", "vocoder/config.json"),
    *(f"{VAE}.bin", "vocoder/model.safetensors"),
)


def remote(*paths, size=1):
    return {path: Remote(path, size, "a" * 40) for path in paths}


def chosen(*paths):
    return {file.path for file in choose(remote(*paths), "it")}


def test_safetensors_go_before_pickles_and_half_precision_is_left():
    own = (f"{UNET}.safetensors", f"{UNET}.bin", f"{UNET}.fp16.safetensors")
    assert chosen(*SYSTEM, *own) == {*SYSTEM, f"{UNET}.safetensors"}
    assert chosen(*SYSTEM, *own[1:]) == {*SYSTEM, f"{UNET}.bin"}
    with pytest.raises(UserError, match="it has no weights in unet/"):
        chosen(*SYSTEM, own[2])


def test_parts_come_with_their_index():
    parts = [f"{UNET}-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = f"{UNET}.safetensors.index.json"
    more = (f"{UNET}-00001-of-00002.bin", f"{UNET}.bin.index.json", f"{UNET}.bin")
    assert chosen(*SYSTEM, *parts, index, *more) == {*SYSTEM, *parts, index}


def test_nothing_of_other_programs():
    left = (
        *("pipeline.py", "unet/model.onnx", "unet/flax_model.msgpack", "README.md"),
        *("unet/tf_model.h5", "safety_checker/model.safetensors", "cat.png"),
        *("safety_checker/config.json", "unet/deeper/config.json", "other.ckpt"),
    )
    taken = (*SYSTEM, f"{UNET}.bin", "tokenizer/merges.txt", "tokenizer_2/spiece.model")
    assert chosen(*taken, *left) == {*taken}


def test_auffusion_has_a_layout_of_its_own():
    taken = (
        *("condition_config.json", *SYSTEM[1:4], "vocoder/config.json"),
        *(f"{UNET}.bin", f"{VAE}.bin", "vocoder/vocoder.pt"),
        *(
            "condition_adapter_0/config.json",
            "condition_adapter_0/condition_adapter.pt",
        ),
        *("text_encoder_0/config.json", "text_encoder_0/pytorch_model.bin"),
    )
    assert chosen(*taken) == {*taken}


def test_one_network_is_a_folder_or_a_file():
    assert chosen("config.json", "model.safetensors", "pytorch_model.bin") == {
        "config.json",
        "model.safetensors",
    }
    assert chosen("a.pth", "README.md") == {"a.pth"}
    assert chosen("a.ckpt", "config.json") == {"a.ckpt", "config.json"}
    for paths in (("a.pth", "b.pth"), ("README.md",), ()):
        with pytest.raises(UserError, match="it has no weights of one model"):
            chosen(*paths)


@pytest.mark.parametrize(
    ("left", "line"),
    [
        ("unet/config.json", "unet/config.json"),
        ("vocoder/", "vocoder/"),
        ("vocoder/model.safetensors", "weights in vocoder/"),
        ("scheduler/", "scheduler/"),
    ],
)
def test_a_system_is_whole(left, line):
    paths = [*SYSTEM, f"{UNET}.bin"]
    with pytest.raises(UserError, match=f"it has no {line}; expected a system"):
        chosen(*(path for path in paths if not path.startswith(left)))


def test_sizes_that_are_absurd():
    files = remote(*SYSTEM, f"{UNET}.bin", size=LARGEST_FILE)
    with pytest.raises(UserError, match="expected at most 67108864 of a text"):
        choose(files, "it")
    files = {
        p: Remote(p, LARGEST_TEXT if p.endswith(".json") else LARGEST_FILE, "a" * 40)
        for p in (*files, "text_encoder/config.json", "text_encoder/model.safetensors")
    }
    files |= remote("language_model/config.json")
    files |= remote("language_model/model.safetensors", size=LARGEST_FILE)
    with pytest.raises(UserError, match="larger than 200 GiB"):
        choose(files, "it")


def test_a_list_that_is_too_long_is_not_read_to_its_end():
    files = (Remote(f"{i}.json", 1, "a" * 40) for i in range(MOST_FILES + 9))
    with pytest.raises(UserError, match=f"it lists more than {MOST_FILES} files"):
        check(files, "it")
    assert next(files).path == f"{MOST_FILES + 1}.json"


@pytest.mark.parametrize("path", ["a.json", "a/b.json", "a b?.png", "\u00e4/\u4e00"])
def test_paths_within(path):
    assert list(check([Remote(path, 0, "a" * 64)], "it")) == [path]


@pytest.mark.parametrize(
    "path", ["", ".", "..", "/a", "a/../b", "a//b", "./a", "a/", "\\a", "a\0", 3, None]
)
def test_paths_that_lead_elsewhere(path):
    with pytest.raises(UserError, match="which is no path within it"):
        check([Remote(path, 0, "a" * 64)], "it")
