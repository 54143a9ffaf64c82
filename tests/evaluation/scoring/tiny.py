"""A tiny network, protocols of it, and folders of clips: scoring without weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import soundfile

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.estimators import (
    CaptionCosine,
    Divergence,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
)
from diffusion_audio.evaluation.named_protocol import ClipList, Metric, NamedProtocol
from diffusion_audio.evaluation.protocol import text_hash
from diffusion_audio.evaluation.protocols import TABLE
from diffusion_audio.evaluation.scoring.encoders import OpenEncoder
from diffusion_audio.evaluation.scoring.score import score
from diffusion_audio.evaluation.scoring.selection import Inputs
from diffusion_audio.evaluation.treatment import Treatment
from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.audio_encoders import AudioEncoder, Encoded

RATE, WINDOW, WIDTH, CLASSES = 8000, 400, 3, 4


def init(key):
    keys = jax.random.split(key)
    return {
        "w": jax.random.normal(keys[0], (WINDOW, WIDTH)) / 10,
        "classes": jax.random.normal(keys[1], (WIDTH, CLASSES)),
    }


def encode(params, waves):
    """An embedding of each whole window; of a shorter clip none."""
    count = waves.shape[1] // WINDOW
    windows = waves[:, : count * WINDOW].reshape(len(waves), count, WINDOW)
    embedding = jnp.tanh(windows @ params["w"])
    return Encoded(embedding, embedding @ params["classes"])


ENCODER = AudioEncoder(
    network=Network(init, lambda params, x: x @ params["w"]),
    sample_rate=RATE,
    width=WIDTH,
    classes=CLASSES,
    window=None,
    encode=encode,
)


def text(captions):
    """An embedding of the first letters."""
    return np.array([[ord(c) / 100 for c in t[:WIDTH].ljust(WIDTH)] for t in captions])


def open_tiny(name, seed=0):
    if name != "tiny":
        raise UserError(f"no weights of {name}")
    return OpenEncoder(ENCODER, init(jax.random.key(seed)), f"seed {seed}", text)


HEARD = ("tiny", Treatment())
PROTOCOL = NamedProtocol(
    about="of the tests",
    source="none",
    metrics={
        "FD": Metric("Frechet distance", *HEARD, FrechetDistance(splits=2)),
        "KAD": Metric("Kernel distance", *HEARD, KernelDistance()),
        "KL": Metric("KL", *HEARD, Divergence()),
        "IS": Metric("Inception score", *HEARD, InceptionScore(2), "higher"),
        "CLAP": Metric("CLAP score", *HEARD, CaptionCosine(), "higher"),
    },
)
KEYS = [f"clip{i:02d}" for i in range(12)]
LISTED = dataclasses.replace(
    PROTOCOL, clips=ClipList(len(KEYS), text_hash(KEYS), "a key")
)
for tiny, protocol in (("tiny", PROTOCOL), ("tiny_list", LISTED)):
    if tiny not in TABLE.names:
        TABLE.add(tiny, protocol)


class Silent:
    """Shows nothing; counts."""

    def __init__(self, name="", total=0, done=0):
        self.total, self.done = total, done

    def update(self, done, values=None):
        self.done = done

    def close(self):
        assert self.done <= self.total


def scored(folder, *, out="out", cache="cache", open_encoder=open_tiny, **options):
    """Scores ``made`` of a folder, against ``real`` and ``captions.csv`` if there."""
    inputs = {
        "generated": folder / "made",
        "reference": folder / "real" if (folder / "real").exists() else None,
        "captions": folder / "c.csv" if (folder / "c.csv").exists() else None,
    }
    own = {key: options.pop(key) for key in list(options) if key in FIELDS}
    settings = {"protocol": "tiny", "batch_size": 4} | options
    return score(
        Inputs(**inputs | own),
        folder / out,
        open_encoder=open_encoder,
        cache=folder / cache,
        make_view=Silent,
        **settings,
    )


FIELDS = set(Inputs.__dataclass_fields__)


def clips(folder, keys, seed=0, samples=(800, 1200)):
    """Writes noise of the lengths, one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i, key in enumerate(keys):
        wave = 0.2 * rng.normal(size=samples[i % len(samples)])
        soundfile.write(folder / f"{key}.wav", wave, RATE)


def table(path, keys):
    rows = [f"{key}.wav,sound {key}" for key in keys]
    path.write_text("\n".join(["file_name,caption", *rows]) + "\n", encoding="utf-8")
