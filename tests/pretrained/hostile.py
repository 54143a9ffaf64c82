"""What attacks on whole systems share: spoiling one, and what a refusal may cost."""

import hashlib
import json
import resource
import time

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.generation import load
from diffusion_audio.pretrained.read_system import read_system

SECONDS, MEMORY = 10.0, 400 << 20  # an attack may cost less than this
LONGEST = 1200  # characters of a refusal
LAYOUTS = ("audioldm2", "auffusion", "ours")
PARTS = {
    "audioldm2": (
        *("unet", "vae", "vocoder", "text_encoder", "text_encoder_2"),
        *("projection_model", "language_model"),
    ),
    "auffusion": ("unet", "vae", "vocoder", "text_encoder_0", "condition_adapter_0"),
}
INDEXES = {"audioldm2": "model_index.json", "auffusion": "condition_config.json"}
EVERY = [(layout, part) for layout, parts in PARTS.items() for part in parts]


def read_whole(folder):
    found = read_system(folder)
    return {name: read() for name, read in found.parts.items()}


def refused(folder):
    """The line that a system is refused with, within little time and memory."""
    inside = sorted(folder.rglob("*"))
    started, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # The parts of a folder of ours are compared with its config when it is loaded.
    read = load if folder.name == "ours" else read_whole
    with pytest.raises(UserError) as caught:
        read(folder)
    text = str(caught.value)
    assert time.monotonic() - started < SECONDS
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert used << 10 < MEMORY
    assert "\n" not in text
    assert len(text) < LONGEST
    assert "the secret" not in text
    assert sorted(folder.rglob("*")) == inside
    return text


def change(path, **values):
    """Changes keys of a JSON file; what is callable makes the value of the old one."""
    config = json.loads(path.read_text())
    for name, value in values.items():
        config[name] = value(config[name]) if callable(value) else value
    path.write_text(json.dumps(config))


def weights_of(folder):
    (path,) = [*folder.glob("*.safetensors")]
    return path


def vouch(folder):
    """Makes the manifest of a folder of ours name the files as they are now."""
    path = folder / "weights.json"
    manifest = json.loads(path.read_text())
    for entries in manifest["parts"].values():
        for entry in entries:
            content = (folder / entry["path"]).read_bytes()
            entry["sha256"] = hashlib.sha256(content).hexdigest()
    config = (folder / "config.json").read_bytes()
    manifest["config"] = hashlib.sha256(config).hexdigest()
    path.write_text(json.dumps(manifest))
