"""Writes golden/phonemes.npz: what transformers' VITS makes of a tiny case.

python -m tests.pretrained.make_phoneme_golden    (needs PyTorch and transformers)
"""

from pathlib import Path

import numpy as np

from tests.pretrained.text_cases import drawn

GOLDEN = Path(__file__).parent / "golden" / "phonemes.npz"
CONFIG = {
    "vocab_size": 11,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "ffn_dim": 10,
    "window_size": 2,
}
TOKENS = np.array([[3, 4, 5, 9, 10, 0, 0], [8, 7, 6, 5, 4, 9, 10]], np.int32)
MASK = TOKENS != 0


def main():
    import torch
    import transformers

    model = transformers.VitsModel(transformers.VitsConfig(**CONFIG)).eval()
    encoder = model.text_encoder
    with torch.no_grad():
        parameters = {f"text_encoder.{n}": p for n, p in encoder.named_parameters()}
        arrays = drawn({name: tuple(p.shape) for name, p in parameters.items()})
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(arrays[name]))
        states = encoder(
            torch.from_numpy(TOKENS).long(),
            padding_mask=torch.from_numpy(MASK).float()[..., None],
            attention_mask=torch.from_numpy(MASK).long(),
        ).last_hidden_state
    np.savez_compressed(GOLDEN, states=states.numpy())


if __name__ == "__main__":
    main()
