"""Networks as scoring finds them; their weights are those of the catalog's size."""

import dataclasses

import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.protocols import TABLE
from diffusion_audio.evaluation.scoring import encoders
from diffusion_audio.evaluation.scoring.encoders import opener
from diffusion_audio.models.roberta import build_clap_text
from diffusion_audio.pretrained import metric_catalog, metric_networks
from diffusion_audio.pretrained.tokenizer import PublishedTokenizer
from tests.published import original_systems
from tests.published.torch_zip import save
from tests.systems.tiny_encoders import TINY, params_of, tiny


def test_every_network_of_a_protocol_is_known():
    for name in TABLE.names:
        for encoder in TABLE[name].encoders:
            if encoder != "tiny":
                assert metric_catalog.is_known(encoder)


@pytest.mark.slow
def test_texts_are_embedded_by_the_tower_of_the_file(tmp_path):
    trees = original_systems.make("audioldm")
    original_systems.write_tokenizers(tmp_path)
    save(tmp_path / "best.pt", original_systems.clap(trees), ("state_dict",))
    texts = ["a dog barks", "rain", "a dog barks"]
    found = encoders._text(str(tmp_path / "best.pt"), texts)
    tokenizer = PublishedTokenizer.read(tmp_path / "tokenizer", "roberta", 32)
    encoded = tokenizer.encode(texts)
    tower = build_clap_text(original_systems.CLAP)
    expected = tower.apply(trees["clap"], encoded.ids, encoded.mask)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found[0], found[2], atol=1e-6)


def test_what_lies_elsewhere_says_where(tmp_path):
    where = r"/clap-htsat-unfused/tokenizer\.json' 'https://huggingface\.co/laion/clap"
    with pytest.raises(UserError, match=r"unfused/config\.json and .*" + where):
        opener({})("clap_htsat_unfused")
    with pytest.raises(UserError, match=r"x\.pt"):
        opener({"vggish": str(tmp_path / "x.pt")})("vggish")


def test_another_network_than_the_named_one_is_refused(tmp_path, monkeypatch):
    """As a converted folder whose settings were changed, which has the same weights."""
    params = params_of(tiny("vggish").network)
    changed = TINY["vggish"] | {
        "network": TINY["vggish"]["network"] | {"activation": False}
    }
    known = dataclasses.replace(metric_catalog.find("vggish"), encoder=TINY["vggish"])
    monkeypatch.setattr(metric_catalog, "NETWORKS", (known,))
    for config, folder in ((TINY["vggish"], "right"), (changed, "other")):
        made = metric_networks.Encoder(config, params, "a" * 64, ())
        metric_networks.write(tmp_path / folder, made)
    right = opener({"vggish": str(tmp_path / "right")})("vggish")
    assert right.weights == "a" * 64
    with pytest.raises(
        UserError, match=r"other is not 'vggish': expected the settings"
    ):
        opener({"vggish": str(tmp_path / "other")})("vggish")
