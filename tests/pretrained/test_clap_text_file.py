"""CLAP's text tower from the two ways that a whole one is published."""

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from diffusion_audio.errors import UserError
from diffusion_audio.models.roberta import build_clap_text
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import roberta
from diffusion_audio.pretrained.clap_text_file import read_clap_text
from tests.published import encoder_configs, original_systems, tokenizer_files
from tests.published.arrays import clap_arrays
from tests.published.torch_zip import save


def test_of_laions_own_file(tmp_path):
    params = original_systems.make("audioldm")
    original_systems.write_tokenizers(tmp_path)
    arrays = {f"module.{n}": a for n, a in original_systems.clap(params).items()}
    path = tmp_path / "best.pt"
    save(path, arrays, ("state_dict",))
    found = read_clap_text(path)
    assert found.config == original_systems.CLAP
    jax.tree.map(np.testing.assert_array_equal, found.params, params["clap"])
    assert found.tokenizer.encode(["a dog"]).mask.sum() > 2


def test_a_file_without_a_tokenizer_or_a_tower_says_so(tmp_path):
    arrays = original_systems.clap(original_systems.make("audioldm"))
    save(tmp_path / "best.pt", arrays)
    with pytest.raises(UserError, match=r"no tokenizer.*hf download FacebookAI"):
        read_clap_text(tmp_path / "best.pt")
    save(tmp_path / "other.pt", {"conv.weight": np.ones(3)})
    with pytest.raises(UserError, match="expected one text tower"):
        read_clap_text(tmp_path / "other.pt")
    with pytest.raises(UserError, match="expected the file of a CLAP"):
        read_clap_text(tmp_path / "nowhere")


def test_of_a_folder_of_transformers(tmp_path):
    import json

    config = encoder_configs.CLAP
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(clap_arrays(config), tmp_path / "model.safetensors")
    for name, text in tokenizer_files.roberta().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_clap_text(tmp_path)
    assert found.config == roberta.clap_text_config(config, "config")
    like = abstract_params(build_clap_text(found.config))
    assert jax.tree.structure(found.params) == jax.tree.structure(like)
