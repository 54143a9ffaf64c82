"""The data of a run, where it was and where it is now."""

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.study.run_data import open_run_data
from tests.recipes import folder_of_audio


def test_a_data_set_that_moved_is_found_where_it_is_said_to_be(tmp_path):
    was = folder_of_audio(tmp_path / "a")
    config = {"data": {"source": was}}
    before = open_run_data(config, "train", 16_000, None)
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(UserError, match="say where: --data=SOURCE") as caught:
        open_run_data(config, "train", 16_000, None)
    assert "\n" not in str(caught.value)
    after = open_run_data(config, "train", 16_000, f"folder:{tmp_path / 'b'}")
    assert after.captions() == before.captions()
    assert after.name == f"folder:{tmp_path / 'b'}/train"
    with pytest.raises(UserError) as caught:
        open_run_data(config, "train", 16_000, "folder:nowhere")
    assert "--data" not in str(caught.value)  # it was said already
