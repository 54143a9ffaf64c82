"""The resolved config of a run: its components' own in the place of where they lie."""

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.runs.workdir import write_json
from tests.recipes import tiny


@pytest.fixture
def vae(tmp_path):
    """The directory of an autoencoder's run, of which nothing is saved."""
    (tmp_path / "vae").mkdir()
    write_json(tmp_path / "vae/config.json", resolve(tiny("vae", "tones")))
    return tmp_path / "vae"


def test_a_component_takes_the_place_of_its_group(vae):
    config = tiny("diffusion", "tones")
    assert resolve(config)["autoencoder"]["name"] == "patches"
    config.components.autoencoder = str(vae)
    resolved = resolve(config)
    assert "autoencoder" not in resolved
    part = resolved["components"]["autoencoder"]
    assert (part["task"], part["run"], part["hash"]) == ("vae", str(vae), "")
    assert part["autoencoder"]["name"] == "vae"
    assert resolved["components"].keys() == {"autoencoder"}
    assert resolved["audio"]["sample_rate"] == 16_000


def test_a_component_must_be_one(vae):
    config = tiny("diffusion", "tones")
    config.components.vocoder = str(vae)
    with pytest.raises(UserError, match=r"components\.vocoder is .*vae, a run of task"):
        resolve(config)
    config.components = {"vae": str(vae)}
    with pytest.raises(UserError, match=r"config\.components 'vae' \(known: auto"):
        resolve(config)


def test_a_component_of_other_mels_is_refused_with_what_differs(vae):
    config = tiny("diffusion", "tones")
    config.components.autoencoder = str(vae)
    config.audio.fmax = 7000.0
    with pytest.raises(UserError, match=r"fmax: .*7000.*"):
        resolve(config)
