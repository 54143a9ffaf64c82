"""The published models that run here: where they lie, under what terms, what they are.

AudioLDM (Liu et al. 2023), AudioLDM 2 (Liu et al. 2024) and Auffusion (Xue et al.
2024). The first AudioLDM's original checkpoints lie on Zenodo and not on the hub; as
files they are read like the others.
"""

from dataclasses import dataclass
from typing import NamedTuple

from diffusion_audio.errors import unknown
from diffusion_audio.pretrained import published_files as files
from diffusion_audio.pretrained import published_parts as parts
from diffusion_audio.pretrained.published_files import File
from diffusion_audio.pretrained.published_parts import Part


class Tokenizer(NamedTuple):
    """A tokenizer that is published with its encoder, and not with the model.

    Attributes:
        folder: where its files are looked for beside the model's.
        hub_id: where they come from.
        kind: of `pretrained.tokenizer`.
    """

    folder: str
    hub_id: str
    kind: str


TOKENIZERS = {
    "clap": Tokenizer("tokenizer", "FacebookAI/roberta-base", "roberta"),
    "t5": Tokenizer("tokenizer_2", "google/flan-t5-large", "t5"),
}
"""Of the originals' encoders: what is in one file has none."""


class Sampler(NamedTuple):
    """How the authors sample.

    Attributes:
        solver: a key of ``diffusion.solvers.SOLVERS``.
        steps: calls of the denoiser with and without the prompt.
        guidance: weight of the prompt.
    """

    solver: str
    steps: int
    guidance: float


@dataclass(frozen=True)
class Model:
    """A published model.

    Attributes:
        hub_id: ``OWNER/NAME`` on the hub.
        about: what it is, in a few words.
        system: ``"audioldm"``, ``"audioldm2"`` or ``"auffusion"``.
        layout: how its files lie: ``"diffusers"`` (a folder a part),
            ``"auffusion"`` (the same, of its own code) or ``"original"`` (one .pth).
        audio: preset of the AudioSpec.
        licence: of the weights.
        commercial: whether the terms allow commercial use.
        parts: its networks.
        sampler: the authors' own.
        files: all that it needs. Of weights that lie there in two forms both are
            listed, and one is taken.
        revision: the commit that is taken; None where none is known, then it is what
            ``main`` is at the first download.
        seconds: length of what it was trained on, and makes unless told.
        note: what else one should know.
        tokenizers: keys of ``TOKENIZERS``: those that it needs and does not have.
    """

    hub_id: str
    about: str
    system: str
    layout: str
    audio: str
    licence: str
    commercial: bool
    parts: tuple[Part, ...]
    sampler: Sampler
    files: tuple[File, ...]
    revision: str | None = None
    seconds: float = 10.24
    note: str = ""
    tokenizers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The id without its owner: short, and no two have the same."""
        return self.hub_id.partition("/")[2]

    @property
    def of_speech(self) -> bool:
        """Whether it takes a transcript beside a prompt."""
        return parts.PHONEMES in self.parts

    @property
    def parameters(self) -> int:
        """Of all parts together."""
        return sum(part.parameters for part in self.parts)


def find(name: str) -> Model:
    """The model of a name or a hub id.

    Raises:
        UserError: there is none, with the nearest name.
    """
    for model in MODELS:
        if name in (model.name, model.hub_id):
            return model
    names = [model.hub_id if "/" in name else model.name for model in MODELS]
    raise unknown("model", name, names)


def listed(hub_id: str) -> Model | None:
    """The model of a hub id; None if it is not in the catalog."""
    return next((model for model in MODELS if model.hub_id == hub_id), None)


_V1 = Sampler("ddim", 200, 2.5)
_V2 = Sampler("ddim", 200, 3.5)
_AUFFUSION = Sampler("pndm", 100, 7.5)
_SHARE = "CC-BY-NC-SA-4.0"
_OF_CODE = "CC-BY-NC"  # of the code's repository
_UNSTATED = "its page states no licence: the one given is that of its code"
_V2_PARTS = (
    *(parts.CLAP_TEXT, parts.CLAP_AUDIO, parts.T5, parts.PROJECTION, parts.GPT2),
    *(parts.VAE_16K, parts.VOCODER_16K),
)
_SPEECH_PARTS = (
    *(parts.CLAP_TEXT, parts.CLAP_AUDIO, parts.PHONEMES, parts.SPEECH_PROJECTION),
    *(parts.GPT2, parts.VAE_16K, parts.VOCODER_16K),
)
_AUFFUSION_PARTS = (
    *(parts.AUFFUSION_UNET, parts.CLIP),
    *(parts.AUFFUSION_VAE, parts.AUFFUSION_VOCODER),
)


def _audioldm(name: str, about: str, unet: Part) -> Model:
    return Model(
        hub_id=f"cvssp/{name}",
        about=about,
        system="audioldm",
        layout="diffusers",
        audio="audioldm_16k",
        licence=_SHARE,
        commercial=False,
        parts=(unet, parts.CLAP_TEXT, parts.VAE_16K, parts.VOCODER_16K),
        sampler=_V1,
        files=files.AUDIOLDM,
    )


def _audioldm2(name: str, about: str, unet: Part, revision: str | None = None) -> Model:
    return Model(
        hub_id=f"cvssp/{name}",
        about=about,
        system="audioldm2",
        layout="diffusers",
        audio="audioldm_16k",
        licence=_SHARE,
        commercial=False,
        parts=(unet, *_V2_PARTS),
        sampler=_V2,
        files=files.audioldm2(files.SAFE, files.PIECES),
        revision=revision,
    )


def _speech(name: str, about: str) -> Model:
    return Model(
        hub_id=f"anhnct/{name}",
        about=about,
        system="audioldm2",
        layout="diffusers",
        audio="audioldm_16k",
        licence="CreativeML-OpenRAIL-M",
        commercial=False,
        parts=(parts.AUDIOLDM2_SPEECH_UNET, *_SPEECH_PARTS),
        sampler=_V2,
        files=files.audioldm2(files.BIN, ("vocab.json",)),
        note="its page's licence restricts uses and not commerce, but the original "
        "weights' code is CC-BY-NC; 512 tokens of audio in place of 8",
    )


def _original(
    name: str,
    about: str,
    licence: str,
    networks: tuple[Part, ...],
    audio: str = "audioldm_16k",
    note: str = "",
    tokenizers: tuple[str, ...] = ("clap", "t5"),
) -> Model:
    return Model(
        hub_id=f"haoheliu/{name}",
        about=about,
        system="audioldm2",
        layout="original",
        audio=audio,
        licence=licence,
        commercial=False,
        parts=networks,
        sampler=_V2,
        files=(File(f"{name}.pth"),),
        note=_UNSTATED if licence == _OF_CODE else note,
        tokenizers=tokenizers,
    )


def _auffusion(name: str, about: str, *, adapter: bool) -> Model:
    return Model(
        hub_id=f"auffusion/{name}",
        about=about,
        system="auffusion",
        layout="auffusion" if adapter else "diffusers",
        audio="auffusion_16k",
        licence=_SHARE,
        commercial=False,
        parts=(*_AUFFUSION_PARTS, *([parts.ADAPTER] if adapter else [])),
        sampler=_AUFFUSION,
        files=files.AUFFUSION if adapter else files.NO_ADAPTER,
    )


MODELS: tuple[Model, ...] = (
    _audioldm("audioldm", "sounds, small, first", parts.AUDIOLDM_S_UNET),
    _audioldm("audioldm-s-full-v2", "sounds, small, second", parts.AUDIOLDM_S_UNET),
    _audioldm("audioldm-m-full", "sounds, middle", parts.AUDIOLDM_M_UNET),
    _audioldm("audioldm-l-full", "sounds, large", parts.AUDIOLDM_L_UNET),
    _audioldm2(
        "audioldm2",
        "sounds and music",
        parts.AUDIOLDM2_UNET,
        "c8e7e189d324425c05c4c2f81214041ef4107983",
    ),
    _audioldm2(
        "audioldm2-large",
        "the same, twice the UNet",
        parts.AUDIOLDM2_LARGE_UNET,
        "4b0b875a9e0c5305dfc917da808584e50e1c7ed4",
    ),
    _audioldm2("audioldm2-music", "music", parts.AUDIOLDM2_UNET),
    _speech("audioldm2_gigaspeech", "speech of many voices"),
    _speech("audioldm2_ljspeech", "speech of one voice"),
    _auffusion("auffusion", "sounds of AudioCaps", adapter=True),
    _auffusion("auffusion-full", "sounds, of many sets", adapter=True),
    _auffusion("auffusion-full-no-adapter", "the same, no adapter", adapter=False),
    _original(
        "audioldm2-full",
        "the original of audioldm2",
        "CC-BY-NC-ND-4.0",
        (parts.ORIGINAL_UNET, *_V2_PARTS),
    ),
    _original(
        "audioldm2-full-large-1150k",
        "the original of audioldm2-large",
        "CC-BY-NC-ND-4.0",
        (parts.ORIGINAL_LARGE_UNET, *_V2_PARTS),
    ),
    _original(
        "audioldm2-music-665k",
        "the original of audioldm2-music",
        _OF_CODE,
        (parts.ORIGINAL_UNET, *_V2_PARTS),
    ),
    _original(
        "audioldm2-speech-gigaspeech",
        "the original of audioldm2_gigaspeech",
        _OF_CODE,
        (parts.ORIGINAL_SPEECH_UNET, *_SPEECH_PARTS),
        tokenizers=("clap",),
    ),
    _original(
        "audioldm2-speech-ljspeech",
        "the original of audioldm2_ljspeech",
        _OF_CODE,
        (parts.ORIGINAL_SPEECH_UNET, *_SPEECH_PARTS),
        tokenizers=("clap",),
    ),
    _original(
        "audioldm_48k",
        "sounds and music, 48 kHz",
        "CC-BY-NC-4.0",
        (
            *(parts.ORIGINAL_48K_UNET, parts.CLAP_TEXT, parts.CLAP_AUDIO),
            *(parts.VAE_48K, parts.VOCODER_48K),
        ),
        audio="audioldm_48k",
        note="by CLAP's vector alone, as the first AudioLDM",
        tokenizers=("clap",),
    ),
    _original(
        "audioldm_16k_crossattn_t5",
        "sounds, by Flan-T5 alone",
        _OF_CODE,
        (
            *(parts.ORIGINAL_T5_UNET, parts.T5, parts.CLAP_TEXT, parts.CLAP_AUDIO),
            *(parts.VAE_16K, parts.VOCODER_16K),
        ),
        tokenizers=("t5",),
    ),
)
