"""In whose way a published system runs: its original code's, diffusers', or as trained.

The two programs run the same weights differently. What differs, and what we do:

=================  ======================  =======================  ====================
                   original                diffusers                default
=================  ======================  =======================  ====================
attention heads    32 channels each (64    8 at each level          as they were trained
                   in AudioLDM-L)                                   where that is known
no prompt (LOA)    zeros                   GPT-2's, of ""           zeros, as trained
GPT-2's padding    depends on the batch    depends on the batch     of the prompt alone
negative prompt    whole                   cut to the prompts'      whole
                                           longest, in T5's tokens
DDIM's eta         1                       0                        0: fewer steps do
candidates         3, ranked by CLAP       1                        1
T5's tokens        128                     512                      128, as trained
CLAP's epsilon     1e-5                    1e-12                    as the files say
CLAP dropped       1 in 10, at random      no                       no
=================  ======================  =======================  ====================

The original's random drop of CLAP is a slip of training left on, and is not followed.
"""

import copy
from collections.abc import Iterator
from typing import Any

from absl import logging

from diffusion_audio.errors import UserError, unknown

PRESETS = ("default", "diffusers", "original")
# Channels of the published UNets' levels -> those of a head, in the original code.
HEAD_CHANNELS: dict[tuple[int, ...], int] = {
    (128, 256, 384, 640): 32,  # AudioLDM-S, AudioLDM 2
    (192, 384, 576, 960): 32,  # AudioLDM-M
    (256, 512, 768, 1280): 64,  # AudioLDM-L
}
AROUND = 5  # CLAP's vector, and what begins and ends either part of GPT-2's prompt
CLAP_EPSILON = {"diffusers": 1e-12, "original": 1e-5}
CONVERTED_HEADS = 8  # at each level, in what diffusers' conversion wrote


def trained_heads(channels: tuple[int, ...]) -> list[int]:
    """The heads at each level of a UNet, as the original code has them."""
    width = HEAD_CHANNELS.get(channels, 32)
    return [max(1, each // width) for each in channels]


def preset(config: dict[str, Any], name: str) -> dict[str, Any]:
    """A published system's config in one of ``PRESETS``.

    Args:
        config: of `PublishedSystem`, as its files say.
        name: of the preset.

    Raises:
        UserError: there is no such preset.
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    if "system" not in config:  # of a run, converted: it has one way
        if name != "default":
            raise UserError(
                f"--preset={name} is for AudioLDM, AudioLDM 2 and Auffusion; this "
                "model was trained here and has one way to run"
            )
        return config
    config = copy.deepcopy(config)
    ranked = "ranker" in config
    config["candidates"] = 3 if name == "original" and ranked else 1
    if config["system"] == "auffusion":  # one way only, diffusers' pieces as they are
        config["candidates"] = 1
        return config
    denoiser, solver = config["denoiser"], config["sampling"]["solver"]
    channels, heads = tuple(denoiser["channels"]), tuple(denoiser["heads"])
    if name == "original":
        denoiser["heads"] = trained_heads(channels)
        if solver["name"] == "ddim":
            solver["eta"] = 1.0
    of_original = config.get("layout") == "original"
    if name == "diffusers" and of_original:
        denoiser["heads"] = [CONVERTED_HEADS] * len(channels)
    converted = heads == (CONVERTED_HEADS,) * len(heads) and not of_original
    if name == "default" and channels in HEAD_CHANNELS and converted:
        denoiser["heads"] = trained_heads(channels)
        logging.info(
            "attention heads %s, as the weights were trained; diffusers' config has %d "
            "at each level (--preset=diffusers)",
            denoiser["heads"],
            CONVERTED_HEADS,
        )
    for conditioner in config["conditioners"].values():
        _conditioner(conditioner, name)
    if name == "original" or (name == "diffusers" and of_original):
        for tower in _clap_towers(config):
            tower["epsilon"] = CLAP_EPSILON[name]
    return config


def _conditioner(group: dict[str, Any], name: str) -> None:
    kind = group["name"]
    if kind == "language_of_audio":
        group["padding"] = "independent" if name == "default" else "batch"
        group["negative"] = "cut" if name == "diffusers" else "whole"
    if kind in ("language_of_audio", "language_of_speech"):
        group["null"] = "generated" if name == "diffusers" else "zeros"
    if kind in ("language_of_audio", "t5"):
        most = 512 if name == "diffusers" else 128
        if kind == "language_of_audio":  # what GPT-2 has room for beside its own
            most = min(most, group["gpt2"]["positions"] - AROUND - group["tokens"])
        group["max_tokens"] = most


def _clap_towers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The settings of each of a system's text towers of CLAP."""
    towers = {"clap": "text", "language_of_audio": "clap", "language_of_speech": "clap"}
    for group in config["conditioners"].values():
        if group["name"] in towers:
            yield group[towers[group["name"]]]
    if "ranker" in config:
        yield config["ranker"]["text"]
