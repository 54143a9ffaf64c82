"""Makes golden/NAME.npz of tiny audio encoders, by their definitions in PyTorch.

python -m tests.systems.make_encoder_golden [NAME ...]
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch

from diffusion_audio.audio.passt_mel import PasstMel
from diffusion_audio.models.cnn14 import Cnn14Config
from diffusion_audio.models.passt import PasstConfig
from diffusion_audio.models.vggish import VGGishConfig
from diffusion_audio.pretrained.cnn14 import table as cnn14_table
from diffusion_audio.pretrained.passt import export_passt
from diffusion_audio.pretrained.rules import export_params
from diffusion_audio.pretrained.vggish import table as vggish_table
from tests.parity import metric_torch as paper
from tests.systems.tiny_encoders import TINY, params_of, tiny, waves

GOLDEN = Path(__file__).parent / "golden"


def loaded(model, arrays):
    """A network with these arrays, and no others but the counts of its norms."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return model.eval()


def cnn14():
    """Embeddings [B, 1, D] and logits [B, 1, K]."""
    network, mel = TINY["cnn14"]["network"], TINY["cnn14"]["mel"]
    params = params_of(tiny("cnn14").network)
    model = loaded(
        paper.Cnn14(**network),
        export_params(cnn14_table(Cnn14Config(**network)), params),
    )
    shown = paper.decibels(
        waves("cnn14"),
        mel["sample_rate"],
        mel["n_fft"],
        mel["hop_length"],
        mel["n_mels"],
        50.0,
        mel["fmax"],
    )
    embedding, logits = model(shown.float())
    return {"embedding": embedding[:, None], "logits": logits[:, None]}


def vggish():
    """Embeddings [B, E, D], white."""
    cfg, mel = VGGishConfig(**TINY["vggish"]["network"]), TINY["vggish"]["mel"]
    arrays = export_params(vggish_table(cfg), params_of(tiny("vggish").network))
    pca = [torch.from_numpy(arrays.pop(f"pca_{n}")) for n in ("eigen_vectors", "means")]
    sizes = cfg.stages, cfg.frames, cfg.n_mels, cfg.hidden, cfg.embedding
    model = loaded(paper.VGGish(*sizes), arrays)
    examples = paper.vggish_examples(
        waves("vggish"),
        mel["sample_rate"],
        mel["win_length"],
        mel["n_fft"],
        mel["hop_length"],
        mel["n_mels"],
        125.0,
        mel["fmax"],
        cfg.frames,
    )
    embedding = model(examples.float().flatten(0, 1))
    white = paper.whitened(embedding, *pca, quantised=False)
    return {"embedding": white.reshape(*examples.shape[:2], -1)}


def passt():
    """Embeddings of scenes [B, E, K + D] and logits [B, E, K], of two windows."""
    cfg, mel = PasstConfig(**TINY["passt"]["network"]), TINY["passt"]["mel"]
    arrays = export_passt(cfg, params_of(tiny("passt").network))
    arrays["head_dist.weight"] = np.zeros((cfg.classes, cfg.width), np.float32)
    arrays["head_dist.bias"] = np.zeros(cfg.classes, np.float32)
    model = loaded(paper.Passt(*dataclasses.astuple(cfg)[:-1]), arrays)
    windows = waves("passt").reshape(-1, mel["samples"])  # twice as long
    shown = paper.passt_mels(windows, *dataclasses.astuple(PasstMel(**mel)))
    embedding, logits = model(shown.float())
    scene = torch.cat([logits, embedding], dim=1)
    return {
        name: x.reshape(-1, 2, x.shape[1])
        for name, x in {"embedding": scene, "logits": logits}.items()
    }


MAKERS = {"cnn14": cnn14, "vggish": vggish, "passt": passt}


def main() -> None:
    """Writes those that are named, or all."""
    GOLDEN.mkdir(exist_ok=True)
    for name in sys.argv[1:] or MAKERS:
        with torch.no_grad():
            found = MAKERS[name]()
        arrays = {key: array.numpy().astype(np.float32) for key, array in found.items()}
        assert all(np.ptp(array, axis=0).max() > 1e-2 for array in arrays.values())
        np.savez(GOLDEN / f"{name}.npz", **arrays)


if __name__ == "__main__":
    main()
