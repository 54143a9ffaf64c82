"""A folder of a whole system in diffusers' layout, for programs of others.

AudioLDM's and AudioLDM 2's pipelines, and Stable Diffusion's with a vocoder beside it
for Auffusion: what `diffusers_system` reads. An Auffusion with its adapter is written
in the layout of its own code, with safetensors in the place of pickles.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from diffusion_audio.aliases import Params
from diffusion_audio.audio.clap_mel import ClapMel
from diffusion_audio.errors import UserError
from diffusion_audio.models.adapter import AdapterConfig
from diffusion_audio.models.clip_text import ClipTextConfig
from diffusion_audio.models.gpt2 import GPT2Config
from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.models.htsat import HTSATConfig
from diffusion_audio.models.phonemes import PhonemeConfig
from diffusion_audio.models.projection import ProjectionConfig
from diffusion_audio.models.roberta import RobertaConfig
from diffusion_audio.models.t5 import T5Config
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.pretrained import (
    adapter,
    auffusion_system,
    clap_mel_config,
    clip_text,
    diffusers_system,
    gpt2,
    hifigan,
    hifigan_config,
    htsat,
    phonemes,
    projection,
    roberta,
    t5,
    unet,
    vae,
)
from diffusion_audio.pretrained.published_system import PublishedSystem
from diffusion_audio.pretrained.rules import Arrays
from diffusion_audio.pretrained.scheduler_config import scheduler_json
from diffusion_audio.pretrained.tokenizer import PublishedTokenizer
from diffusion_audio.pretrained.unet_config import unet_json
from diffusion_audio.pretrained.vae_config import vae_json
from diffusion_audio.settings import of_group
from diffusion_audio.storage import write_whole, written_whole

NAMES = (diffusers_system.INDEX, auffusion_system.INDEX)
"""Files by which a folder of these is known."""
DIFFUSERS, TRANSFORMERS = "diffusion_pytorch_model.safetensors", "model.safetensors"
# What model_index.json says of the folders that a pipeline has.
CLASSES = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "vocoder": "SpeechT5HifiGan",
    "scheduler": "DDIMScheduler",
}


def write(
    folder: str | Path, system: PublishedSystem, dtype: str | None = None
) -> list[Path]:
    """Writes a system, a part at a time; model_index.json comes last.

    Args:
        folder: made if need be.
        system: what to write.
        dtype: of all weights, ``"float32"`` or ``"bfloat16"``; as they are where None.

    Returns:
        The files.

    Raises:
        UserError: no program but this one has such a system.
    """
    return list(_Writer(Path(folder), system, dtype).files())


class _Writer:
    """What is the same for all files of a folder."""

    def __init__(
        self, folder: Path, system: PublishedSystem, dtype: str | None
    ) -> None:
        self._folder, self._system, self._dtype = folder, system, dtype
        self._config = system.config
        self._index: dict[str, Any] = {}

    def files(self) -> Iterator[Path]:
        """Writes and names the files."""
        conditioners = self._config["conditioners"]
        kinds = [group["name"] for group in conditioners.values()]
        if len(kinds) != 1 or kinds[0] not in WRITERS:
            raise UserError(
                f"diffusers has no pipeline of the conditioners {', '.join(kinds)}; "
                f"expected one of {', '.join(WRITERS)}; --layout=ours keeps any"
            )
        ((label, group),) = conditioners.items()
        yield from self._common()
        yield from WRITERS[kinds[0]](self, label, group)

    def _common(self) -> Iterator[Path]:
        config, parts = self._config, self._system.parts
        denoiser = of_group(UNetConfig, _plain(config["denoiser"]), "denoiser")
        parts_of = config["components"]
        if "autoencoder" not in parts_of or "vocoder" not in parts_of:
            raise UserError(
                "diffusers' pipelines have a trained autoencoder and a vocoder; this "
                "system lacks one"
            )
        vae_group = parts_of["autoencoder"]["autoencoder"]
        autoencoder = of_group(VAEConfig, _plain(vae_group), "autoencoder")
        group = parts_of["vocoder"]["vocoder"]
        vocoder = of_group(HiFiGANConfig, _plain(group), "vocoder")
        rate = config["audio"]["sample_rate"]
        yield self._json("unet", unet_json(denoiser))
        yield self._json("vae", vae_json(autoencoder, self._system.latent_scale))
        yield self._json("vocoder", hifigan_config.speech_t5_json(vocoder, rate))
        yield self._json("scheduler", scheduler_json(config), "scheduler_config.json")
        arrays = unet.export_unet(denoiser, parts["denoiser"]())
        yield self._weights("unet", arrays, DIFFUSERS)
        arrays = vae.export_vae(autoencoder, parts["autoencoder"]())
        yield self._weights("vae", arrays, DIFFUSERS)
        arrays = _speech_t5(vocoder, parts["vocoder"]())
        yield self._weights("vocoder", arrays)
        for name, kind in CLASSES.items():
            library = "transformers" if name == "vocoder" else "diffusers"
            self._index[name] = [library, kind]
        self._index["unet"][1] = unet_json(denoiser)["_class_name"]
        self._index["scheduler"][1] = scheduler_json(config)["_class_name"]

    def clap(self, label: str, group: Mapping[str, Any]) -> Iterator[Path]:
        """AudioLDM's conditioner, and its index."""
        text = of_group(RobertaConfig, group["text"], "clap: text")
        params = self._system.parts[f"conditioners/{label}"]()
        yield self._json("text_encoder", roberta.clap_text_json(text))
        arrays = roberta.export_clap_text(text, params) | roberta.constants(text)
        yield self._weights("text_encoder", arrays)
        yield from self._tokenizer("tokenizer", label, "clap")
        self._index["text_encoder"] = ["transformers", "ClapTextModelWithProjection"]
        self._index["tokenizer"] = ["transformers", "RobertaTokenizerFast"]
        yield self._end("AudioLDMPipeline")

    def language_of_audio(self, label: str, group: Mapping[str, Any]) -> Iterator[Path]:
        """AudioLDM 2's conditioner and ranker, and its index."""
        words = of_group(T5Config, group["t5"], f"{label}: t5")
        params = self._system.parts[f"conditioners/{label}"]()
        yield self._json("text_encoder_2", t5.t5_json(words))
        yield self._weights("text_encoder_2", t5.export_t5(words, params["t5"]))
        yield from self._tokenizer("tokenizer_2", label, "t5")
        self._index["text_encoder_2"] = ["transformers", "T5EncoderModel"]
        self._index["tokenizer_2"] = ["transformers", "T5TokenizerFast"]
        yield from self._language(label, group, params)

    def language_of_speech(
        self, label: str, group: Mapping[str, Any]
    ) -> Iterator[Path]:
        """The same of speech; the rest of a VITS, which nothing uses, lacks."""
        words = of_group(PhonemeConfig, group["phonemes"], f"{label}: phonemes")
        params = self._system.parts[f"conditioners/{label}"]()
        yield self._json("text_encoder_2", phonemes.phoneme_json(words))
        arrays = phonemes.export_phonemes(words, params["phonemes"])
        yield self._weights("text_encoder_2", arrays)
        yield from self._tokenizer("tokenizer_2", label, "phonemes")
        self._index["text_encoder_2"] = ["transformers", "VitsModel"]
        self._index["tokenizer_2"] = ["transformers", "VitsTokenizer"]
        yield from self._language(label, group, params)

    def _language(
        self, label: str, group: Mapping[str, Any], params: Params
    ) -> Iterator[Path]:
        """What an AudioLDM 2 has beside its second encoder, and its index."""
        configs: dict[str, Any] = {
            name: of_group(kind, group[name], f"{label}: {name}")
            for name, kind in {
                "clap": RobertaConfig,
                "projection": ProjectionConfig,
                "gpt2": GPT2Config,
            }.items()
        }
        ranker = self._config["ranker"]
        audio = of_group(HTSATConfig, ranker["audio"], "ranker: audio")
        mel = of_group(ClapMel, ranker["mel"], "ranker: mel")
        whole = self._system.parts["ranker"]()
        text = configs["clap"]
        yield self._json(
            "text_encoder",
            {
                "architectures": ["ClapModel"],
                "model_type": "clap",
                "projection_dim": text.projection,
                "projection_hidden_act": "relu",
                "text_config": roberta.clap_text_json(text),
                "audio_config": htsat.clap_audio_json(audio),
            },
        )
        scales = {f"logit_scale_{x}": np.float32(np.log(1 / 0.07)) for x in "at"}
        arrays = (
            roberta.export_clap_text(text, params["clap"])
            | roberta.constants(text)
            | htsat.export_clap_audio(audio, whole["audio"])
            | {name: np.asarray(value) for name, value in scales.items()}
        )
        yield self._weights("text_encoder", arrays)
        yield self._json(
            "projection_model", projection.projection_json(configs["projection"])
        )
        arrays = projection.export_projection(params["projection"])
        yield self._weights("projection_model", arrays, DIFFUSERS)
        language = gpt2.gpt2_json(configs["gpt2"]) | {"max_new_tokens": group["tokens"]}
        yield self._json("language_model", language)
        arrays = gpt2.export_gpt2(configs["gpt2"], params["gpt2"])
        yield self._weights("language_model", arrays)
        yield self._json(
            "feature_extractor",
            clap_mel_config.clap_mel_json(mel),
            "preprocessor_config.json",
        )
        yield from self._tokenizer("tokenizer", label, "clap")
        self._index |= {
            "text_encoder": ["transformers", "ClapModel"],
            "projection_model": ["audioldm2", "AudioLDM2ProjectionModel"],
            "language_model": ["transformers", "GPT2Model"],
            "feature_extractor": ["transformers", "ClapFeatureExtractor"],
            "tokenizer": ["transformers", "RobertaTokenizerFast"],
        }
        yield self._end("AudioLDM2Pipeline")

    def clip(self, label: str, group: Mapping[str, Any]) -> Iterator[Path]:
        """Auffusion's conditioner, and its index: its own with an adapter."""
        text = of_group(ClipTextConfig, group["text"], "clip: text")
        params = self._system.parts[f"conditioners/{label}"]()
        adapted = group.get("adapter") is not None
        encoder = "text_encoder_0" if adapted else "text_encoder"
        yield self._json(encoder, clip_text.clip_text_json(text))
        yield self._weights(encoder, clip_text.export_clip_text(text, params["text"]))
        tokenizer = encoder if adapted else "tokenizer"
        yield from self._tokenizer(tokenizer, label, "clip")
        if not adapted:
            self._index["text_encoder"] = ["transformers", "CLIPTextModel"]
            self._index["tokenizer"] = ["transformers", "CLIPTokenizer"]
            self._index |= dict.fromkeys(("safety_checker", "feature_extractor"))
            yield self._end("StableDiffusionPipeline")
            return
        cfg = of_group(AdapterConfig, group["adapter"], "clip: adapter")
        other = "condition_adapter_0"
        yield self._json(other, adapter.adapter_json(cfg))
        yield self._weights(other, adapter.export_adapter(params["adapter"]))
        listed = {"text_encoder_name": encoder, "condition_adapter_name": other}
        path = self._folder / auffusion_system.INDEX
        write_whole(path, json.dumps([listed], indent=2) + "\n")
        yield path

    def _end(self, name: str) -> Path:
        path = self._folder / diffusers_system.INDEX
        index = {"_class_name": name, "_diffusers_version": "0.36.0", **self._index}
        write_whole(path, json.dumps(index, indent=2, sort_keys=True) + "\n")
        return path

    def _json(
        self, part: str, config: Mapping[str, Any], name: str = "config.json"
    ) -> Path:
        path = self._folder / part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(config, indent=2, sort_keys=True) + "\n")
        return path

    def _weights(self, part: str, arrays: Arrays, name: str = TRANSFORMERS) -> Path:
        path = self._folder / part / name
        typed = {n: _typed(array, self._dtype) for n, array in arrays.items()}
        try:
            with written_whole(path) as place:
                # Both programs ask for this word of where the arrays are of.
                safetensors.numpy.save_file(typed, place, {"format": "pt"})
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from error
        return path

    def _tokenizer(self, part: str, label: str, name: str) -> Iterator[Path]:
        text = self._system.extras[f"conditioners/{label}/{name}.json"]
        for file, content in PublishedTokenizer.from_json(text).files().items():
            path = self._folder / part / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
            yield path


WRITERS: dict[str, Callable[[_Writer, str, Mapping[str, Any]], Iterator[Path]]] = {
    "clap": _Writer.clap,
    "language_of_audio": _Writer.language_of_audio,
    "language_of_speech": _Writer.language_of_speech,
    "clip": _Writer.clip,
}
"""By the conditioner that a system has."""


def _plain(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "name"}


def _speech_t5(cfg: HiFiGANConfig, params: Params) -> Arrays:
    """A generator's arrays by transformers' names, with those that it does not use."""
    arrays = {
        name.replace("ups.", "upsampler.", 1) if name.startswith("ups.") else name: a
        for name, a in hifigan.export_generator(cfg, params).items()
    }
    bands = np.zeros(cfg.n_mels, np.float32)
    return arrays | {"mean": bands, "scale": bands + 1}


def _typed(array: np.ndarray, dtype: str | None) -> np.ndarray:
    if dtype is None or array.dtype.kind in "iub":
        return array
    return array.astype(jnp.dtype(dtype))
