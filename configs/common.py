"""What the recipes share: the groups of every config, and how presets are read."""

from ml_collections import ConfigDict, config_dict

# Every field of an AudioSpec; one that is not set is as the preset has it.
AUDIO_FIELDS = {
    "sample_rate": int,
    "n_fft": int,
    "win_length": int,
    "hop_length": int,
    "n_mels": int,
    "fmin": float,
    "fmax": float,
    "mel_scale": str,
    "mel_norm": str,
    "log": str,
    "floor": float,
    "power_eps": float,
    "framing": str,
    "value_low": float,
    "value_high": float,
}


def base(task: str, audio: str) -> ConfigDict:
    """The groups that every training run has, with the values of small runs.

    Args:
        task: vae, vocoder, diffusion or classifier.
        audio: preset of the AudioSpec.
    """
    return ConfigDict(
        {
            "task": task,
            "seed": 0,
            "audio": {"preset": audio, **_audio_fields()},
            "data": {
                "source": "tones",
                "train_split": "train",
                "evaluation_split": "validation",
                "seconds": 1.024,
                "batch_size": 32,
                "labels": (),
                "skip_budget": 0.001,
                "decode_workers": 2,
                "cache_latents": False,
                "mels": "",
                "mel_axes": "",
            },
            "optimizer": {
                "name": "adamw",
                "learning_rate": 1e-3,
                "warmup_steps": 50,
                "decay": "cosine",
                "decay_rate": 1.0,
                "weight_decay": 0.0,
                "decay_biases": False,
                "b1": 0.9,
                "b2": 0.99,
                "eps": 1e-8,
                "clip_norm": 1.0,
            },
            "ema": {"decay": 0.995, "warmup": True},
            "train": {
                "steps": 1000,
                "log_every": 25,
                "evaluate_every": 0,
                "checkpoint_every": 500,
                "keep": 2,
                "keep_every": 0,
                "keep_best": "",
                "best": "lower",
                "accumulate": 1,
                "non_finite": "halt",
                "max_skipped": 10,
                "watchdog": 1800.0,
                "expected": {"recipe": "", "loss": ()},
            },
            "parallel": {"mode": "jit", "data": -1, "fsdp": 1},
        }
    )


def _audio_fields() -> dict:
    return {name: config_dict.placeholder(kind) for name, kind in AUDIO_FIELDS.items()}


def apply(config: ConfigDict, arg: str, presets: dict) -> ConfigDict:
    """Changes a config by the presets that an argument names, in order.

    Args:
        config: changed in place.
        arg: names joined by commas, such as ``"tones,smoke"``.
        presets: name -> function of the config.

    Raises:
        ValueError: a name is not among the presets.
    """
    for name in filter(None, arg.split(",")):
        if name not in presets:
            raise ValueError(f"unknown preset {name!r} (known: {', '.join(presets)})")
        presets[name](config)
    return config
