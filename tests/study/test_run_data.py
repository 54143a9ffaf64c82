"""The data of a run, where it was and where it is now."""

import pytest

from diffusion_audio.audio.decoders import here
from diffusion_audio.errors import UserError
from diffusion_audio.study.evaluate import open_run_data
from tests.recipes import folder_of_audio


def test_a_data_set_that_moved_is_found_where_it_is_said_to_be(tmp_path):
    was = folder_of_audio(tmp_path / "a")
    config = {"data": {"source": was}}
    before, _ = open_run_data(config, 16_000, "train", here)
    (tmp_path / "a").rename(tmp_path / "b")
    for split in (None, "train"):
        with pytest.raises(UserError, match="say where: --data=SOURCE") as caught:
            open_run_data(config, 16_000, split, here, unseen=True)
        assert "\n" not in str(caught.value)
    there = f"folder:{tmp_path / 'b'}"
    after, _ = open_run_data(config, 16_000, "train", here, moved_to=there)
    assert after.captions() == before.captions()
    assert after.name == f"folder:{tmp_path / 'b'}/train"
    with pytest.raises(UserError) as caught:
        open_run_data(config, 16_000, "train", here, moved_to="folder:nowhere")
    assert "--data" not in str(caught.value)  # it was said already


def test_a_split_that_training_never_had_is_measured_where_there_is_one(tmp_path):
    source = folder_of_audio(tmp_path / "a")
    config = {"data": {"source": source, "evaluation_split": "validation"}}

    def chosen(unseen=True, **options):
        return open_run_data(config, 16_000, None, here, unseen=unseen, **options)[1]

    assert chosen() == "validation"
    assert chosen(moved_to="tones") == "held_out"
    rows = (tmp_path / "a" / "metadata.csv").read_text(encoding="utf-8").splitlines()
    rows = [f"{rows[0]},split", *(f"{row},train" for row in rows[1:])]
    rows[-1] = rows[-1].replace(",train", ",held_out")
    (tmp_path / "a" / "metadata.csv").write_text("\n".join(rows) + "\n")
    config["data"]["evaluation_split"] = "train"
    assert (chosen(), chosen(unseen=False)) == ("held_out", "train")
