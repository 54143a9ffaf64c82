"""One whole update of discriminators and generator against PyTorch, losses included.

The published step: AdamW on the discriminators with a detached fake, then on the
generator through the updated discriminators. The spectral norm's power iteration is
done once a step in both, where the published code does it at every call.
"""

import jax
import numpy as np
import pytest

from diffusion_audio.models.discriminators import MPDConfig, MSDConfig
from diffusion_audio.models.hifigan import HiFiGANConfig
from tests.parity.hifigan_torch import (
    Discriminators,
    GeneratorV3,
    adamw,
    generator_params,
    log_mel,
    update,
)
from tests.tasks import make_task

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

torch = pytest.importorskip("torch")
nn = torch.nn

RATE, N_FFT, HOP, MELS = 16_000, 256, 32, 20
GENERATOR = {
    "n_mels": MELS,
    "channels": 32,
    "rates": (8, 4),
    "kernels": (16, 8),
    "resblock": "2",
    "resblock_kernels": (3, 5),
    "dilations": ((1, 2), (2, 6)),
}
MPD = {"periods": (2, 3), "channels": (4, 8, 8)}
MSD = {
    "scales": 2,
    "channels": (8, 16, 16),
    "kernels": (15, 41, 5),
    "strides": (1, 4, 1),
    "groups": (1, 4, 1),
}
CONFIG = {
    "task": "vocoder",
    "audio": {
        "sample_rate": RATE,
        "n_fft": N_FFT,
        "win_length": N_FFT,
        "hop_length": HOP,
        "n_mels": MELS,
        "fmax": 6000.0,
        "power_eps": 1e-9,
    },
    "data": {"seconds": 64 * HOP / RATE},
    "vocoder": {"name": "hifigan", **GENERATOR},
    "discriminators": {"mpd": MPD, "msd": MSD},
    "loss": {},
    "optimizer": {
        "learning_rate": 2e-4,
        "warmup_steps": 0,
        "decay": "constant",
        "b1": 0.8,
        "b2": 0.99,
        "weight_decay": 0.01,
        "decay_biases": True,
        "clip_norm": 0.0,
    },
    "ema": {"decay": 0.0},
    "train": {"steps": 10},
}


def mel(wave, fmax):
    return log_mel(wave, RATE, N_FFT, HOP, MELS, fmax)


def test_a_whole_update():
    torch.manual_seed(0)
    cfg = HiFiGANConfig(**GENERATOR)
    generator = GeneratorV3(cfg, nn.utils.weight_norm)
    discriminators = Discriminators(MPDConfig(**MPD), MSDConfig(**MSD))

    def theirs():
        ours = generator_params(
            generator, generator.ups, 2, lambda b: b.convs, lambda b: ()
        )
        return jax.tree.map(
            np.copy, {"vocoder": ours, "discriminators": discriminators.params()}
        )

    rng = np.random.default_rng(0)
    wave = (0.1 * rng.standard_normal((2, 64 * HOP))).astype(np.float32)
    task = make_task(CONFIG)
    state = task.init(jax.random.key(0), {"audio": wave})
    before = theirs()
    assert jax.tree.structure(before) == jax.tree.structure(state["params"])
    after, metrics = jax.jit(task.step)(
        state | {"params": before}, {"audio": wave}, jax.random.key(0)
    )
    losses = update(
        generator,
        discriminators,
        *(adamw(model) for model in (generator, discriminators)),
        torch.from_numpy(wave),
        lambda wave: mel(wave, 6000.0),
        lambda wave: mel(wave, RATE / 2),
    )
    for name, value in losses.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4)
    leaves = jax.tree_util.tree_leaves_with_path(after["params"])
    for (path, ours), expected, start in zip(
        leaves, jax.tree.leaves(theirs()), jax.tree.leaves(before), strict=True
    ):
        error = np.linalg.norm(ours - expected) / np.linalg.norm(expected)
        assert error < 1e-5, (jax.tree_util.keystr(path), error)
        if "spectral" not in str(path):
            assert np.linalg.norm(start - expected) > 1e-5 * np.linalg.norm(expected)
