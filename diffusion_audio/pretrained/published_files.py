"""The files of the published models, by layout.

Of AudioLDM 2 they are known; of the others as their layouts have them, so weights are
listed there in both forms that exist, and one is taken.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """A file that a model needs.

    Attributes:
        path: in the hub's folder.
        size: bytes, where they are known.
        sha256: 64 hexadecimal digits, where they are known.
    """

    path: str
    size: int | None = None
    sha256: str | None = None


BIN, SAFE = ("bin",), ("safetensors",)
EITHER = (*SAFE, *BIN)
MERGES = ("merges.txt", "vocab.json")
PIECES = ("spiece.model",)


def _folder(name: str, *files: str) -> tuple[File, ...]:
    return tuple(File(f"{name}/{file}") for file in ("config.json", *files))


def _diffusers(name: str, forms: tuple[str, ...]) -> tuple[File, ...]:
    return _folder(name, *(f"diffusion_pytorch_model.{form}" for form in forms))


def _transformers(name: str, forms: tuple[str, ...]) -> tuple[File, ...]:
    ends = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}
    return _folder(name, *(ends[form] for form in forms))


def _tokenizer(name: str, words: tuple[str, ...]) -> tuple[File, ...]:
    common = ("special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")
    return tuple(File(f"{name}/{file}") for file in (*common, *words))


_SCHEDULER = File("scheduler/scheduler_config.json")
_CLAP_MEL = File("feature_extractor/preprocessor_config.json")


def _common(forms: tuple[str, ...]) -> tuple[File, ...]:
    """What every folder in diffusers' layout has."""
    return (
        *(File("model_index.json"), _SCHEDULER),
        *(_diffusers("unet", forms) + _diffusers("vae", forms)),
        *_tokenizer("tokenizer", MERGES),
    )


AUDIOLDM = (
    *_common(EITHER),
    *_transformers("vocoder", EITHER),
    *_transformers("text_encoder", EITHER),
)


def audioldm2(forms: tuple[str, ...], words: tuple[str, ...]) -> tuple[File, ...]:
    """AudioLDM 2's, by the forms of its weights and its second tokenizer's files."""
    return (
        *(_CLAP_MEL, *_common(forms)),
        *_transformers("vocoder", forms),
        *_transformers("text_encoder", forms),
        *_transformers("text_encoder_2", forms),
        *_transformers("language_model", forms),
        *_diffusers("projection_model", forms),
        *_tokenizer("tokenizer_2", words),
    )


AUFFUSION = (
    *(File("condition_config.json"), _SCHEDULER),
    *(_diffusers("unet", BIN) + _diffusers("vae", BIN)),
    *_transformers("text_encoder_0", BIN),
    *_tokenizer("text_encoder_0", MERGES),
    *_folder("condition_adapter_0", "condition_adapter.pt"),
    *_folder("vocoder", "vocoder.pt"),
)
NO_ADAPTER = (
    *_common(EITHER),
    *_transformers("vocoder", EITHER),
    File("vocoder/vocoder.pt"),
    *_transformers("text_encoder", EITHER),
)
