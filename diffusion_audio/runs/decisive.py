"""What of a config decides the numbers of training, wherever it runs."""

import json
from collections.abc import Mapping
from typing import Any

from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.runs.code_hash import json_hash
from diffusion_audio.runs.same_run import FREE_TO_CHANGE

# Groups of a config that training does not depend on.
UNUSED_IN_TRAINING = ("sampling", "listen")


def decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without what changes no number; its AudioSpec is spelt out."""
    kept = json.loads(json.dumps(config))
    for key in FREE_TO_CHANGE:
        group, _, name = key.partition(".")
        if not name:
            kept.pop(group, None)
        elif name != "steps":
            kept.get(group, {}).pop(name, None)
    return kept | {"audio": AudioSpec.from_config(config["audio"]).to_dict()}


def recipe_hash(config: Mapping[str, Any]) -> str:
    """Short hash of what decides the course of a run's loss, but for its seed.

    Args:
        config: resolved. Components count as they were trained, not by their weights;
            a vocoder to listen with does not count.
    """
    left_out = ("seed", "components", "run", "hash", *UNUSED_IN_TRAINING)
    content = {k: v for k, v in decisive(config).items() if k not in left_out}
    content["components"] = {
        name: recipe_hash(part)
        for name, part in config.get("components", {}).items()
        if name != "vocoder" or config["task"] == "vocoder"
    }
    return json_hash(content)
