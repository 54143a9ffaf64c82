"""The published networks that metrics are measured with, and where their files lie.

PANNs (Kong et al. 2020), VGGish (Hershey et al. 2017), PaSST (Koutini et al. 2022) and
CLAP (Wu et al. 2023). None is downloaded here: most lie where the hub's protocol does
not reach.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffusion_audio.errors import UserError, unknown

FOLDER = Path("~/.cache/diffusion_audio").expanduser()
"""Where a network that is asked for by name is looked for."""

ZENODO = "https://zenodo.org/records/3987831/files"
TORCHVGGISH = "https://github.com/harritaylor/torchvggish/releases/download/v0.1"
PASST = "https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset"
LAION = "https://huggingface.co/lukewys/laion_clap/resolve/main"

MEL_16K = {
    "sample_rate": 16_000,
    "n_fft": 512,
    "hop_length": 160,
    "fmax": 8000.0,
}
BASE = {"width": 128, "depths": (2, 2, 12, 2)}  # of HTS-AT
FUSION = {"audio": {"fusion": True}, "mel": {"fusion": True}}


@dataclass(frozen=True)
class MetricNetwork:
    """A published network of metrics.

    Attributes:
        name: what it is asked for by.
        about: what it is, in a few words.
        encoder: its group in a config: an entry of ``systems.audio_encoders`` and the
            settings that are not that entry's own.
        files: its file of weights, and others of weights that it needs.
        address: where the files are downloaded from, without their names.
        licence: of the weights, as their authors say.
        beside: what it needs beside weights, such as a tokenizer.
        folder: that has its files, where their names alone would not tell whose.
    """

    name: str
    about: str
    encoder: dict[str, Any] = field(hash=False)
    files: tuple[str, ...]
    address: str
    licence: str
    beside: tuple[str, ...] = ()
    folder: str = ""

    def by_hand(self, folder: Path) -> str:
        """The commands that put its files into a folder of networks."""
        commands = [
            f"`curl -L --create-dirs -o '{folder / self.folder / file}' "
            f"'{self.address}/{file.replace('=', '%3D')}'`"
            for file in (*self.files, *self.beside)
        ]
        return " and ".join(commands)


NETWORKS = (
    MetricNetwork(
        "cnn14_16k",
        "PANNs' Cnn14 at 16 kHz: AudioLDM's FD, KL and inception score",
        {"name": "cnn14", "mel": MEL_16K},
        ("Cnn14_16k_mAP=0.438.pth",),
        ZENODO,
        "CC BY 4.0",
    ),
    MetricNetwork(
        "cnn14_32k",
        "PANNs' Cnn14 at 32 kHz",
        {"name": "cnn14"},
        ("Cnn14_mAP=0.431.pth",),
        ZENODO,
        "CC BY 4.0",
    ),
    MetricNetwork(
        "vggish",
        "VGGish before its last rectifier: FAD",
        {"name": "vggish"},
        ("vggish-10086976.pth",),
        TORCHVGGISH,
        "Apache-2.0",
    ),
    MetricNetwork(
        "vggish_8bit",
        "VGGish as torchvggish has it unless told: rectified, white, of 8 bits",
        {
            "name": "vggish",
            "network": {"activation": True, "postprocessing": "pca_8bit"},
        },
        ("vggish-10086976.pth", "vggish_pca_params-970ea276.pth"),
        TORCHVGGISH,
        "Apache-2.0",
    ),
    MetricNetwork(
        "passt_s",
        "PaSST-S of stride 10 (mAP 0.476): KL of Stable Audio's metrics",
        {"name": "passt"},
        ("passt-s-f128-p16-s10-ap.476-swa.pt",),
        PASST,
        "Apache-2.0",
    ),
    MetricNetwork(
        "clap_music_speech",
        "LAION's CLAP of music, speech and AudioSet: AudioLDM 2's score",
        {"name": "clap", "audio": BASE},
        ("music_speech_audioset_epoch_15_esc_89.98.pt",),
        LAION,
        "CC0-1.0",
    ),
    MetricNetwork(
        "clap_music",
        "LAION's CLAP of music and AudioSet",
        {"name": "clap", "audio": BASE},
        ("music_audioset_epoch_15_esc_90.14.pt",),
        LAION,
        "CC0-1.0",
    ),
    MetricNetwork(
        "clap_630k",
        "LAION's CLAP of 630k and AudioSet: Tango's score",
        {"name": "clap"},
        ("630k-audioset-best.pt",),
        LAION,
        "CC0-1.0",
    ),
    MetricNetwork(
        "clap_630k_fusion",
        "the same with feature fusion: the score of Stable Audio's metrics",
        {"name": "clap", **FUSION},
        ("630k-audioset-fusion-best.pt",),
        LAION,
        "CC0-1.0",
    ),
    MetricNetwork(
        "clap_htsat_unfused",
        "the CLAP of transformers without feature fusion: Auffusion's score",
        {"name": "clap"},
        ("model.safetensors",),
        "https://huggingface.co/laion/clap-htsat-unfused/resolve/main",
        "Apache-2.0",
        beside=("config.json", "tokenizer.json"),
        folder="clap-htsat-unfused",
    ),
)

# Of the files, as far as their publishers' hashes were found, in what others wrote: MD5
# is Zenodo's, and names of torch hub's files end in the first digits of SHA-256.
HASHES = {
    "Cnn14_16k_mAP=0.438.pth": "md5:362fc5ff18f1d6ad2f6d464b45893f2c",
    "Cnn14_mAP=0.431.pth": "md5:541141fa2ee191a88f24a3219fff024e",
    "vggish-10086976.pth": "sha256:10086976",
    "vggish_pca_params-970ea276.pth": "sha256:970ea276",
    "passt-s-f128-p16-s10-ap.476-swa.pt": (
        "sha256:302903fa8c4aee817b11dc982da0b29aaf8d11a3e722420476d0a12c9db70c2c"
    ),
    "music_speech_audioset_epoch_15_esc_89.98.pt": (
        "sha256:51c68f12f9d7ea25fdaaccf741ec7f81e93ee594455410f3bca4f47f88d8e006"
    ),
    "music_audioset_epoch_15_esc_90.14.pt": (
        "sha256:fae3e9c087f2909c28a09dc31c8dfcdacbc42ba44c70e972b58c1bd1caf6dedd"
    ),
}


def find(name: str) -> MetricNetwork:
    """The network of a name.

    Raises:
        UserError: there is none.
    """
    for network in NETWORKS:
        if network.name == name:
            return network
    raise unknown("network of metrics", name, [each.name for each in NETWORKS])


def is_known(name: str) -> bool:
    """Whether there is a network of that name."""
    return any(network.name == name for network in NETWORKS)


def named_after(file: str) -> MetricNetwork | None:
    """The first network whose own file is called so, and no other's."""
    named = (each for each in NETWORKS if each.files[0] == file and not each.folder)
    return next(named, None)


def locate(network: MetricNetwork, folder: Path) -> tuple[Path, ...]:
    """Its files of weights in a folder of networks.

    Raises:
        UserError: one lacks; with the command that brings it.
    """
    place = folder / network.folder
    paths = tuple(place / file for file in network.files)
    needed = (*paths, *(place / file for file in network.beside))
    lacking = [path for path in needed if not path.is_file()]
    if lacking:
        raise UserError(
            f"{network.name}: {' and '.join(map(str, lacking))} not found; download "
            f"with {network.by_hand(folder)} (licence {network.licence})"
        )
    return paths
