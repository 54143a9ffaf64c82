"""Tiny text networks in published names: configs, weights, inputs.

What `make_text_golden` gives to PyTorch and `test_text_golden` to ours. The weights are
drawn by their names, so only outputs need to be stored.
"""

import zlib
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "text.npz"

T5 = {
    "vocab_size": 11,
    "d_model": 8,
    "d_kv": 3,
    "d_ff": 10,
    "num_layers": 2,
    "num_heads": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 5,
}
CLIP = {
    "vocab_size": 11,
    "hidden_size": 8,
    "intermediate_size": 10,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 7,
}
CONFIGS = {
    "t5": T5 | {"feed_forward_proj": "gated-gelu"},
    "t5_relu": T5 | {"feed_forward_proj": "relu"},
    "clip": CLIP | {"eos_token_id": 2},
    "clip_eos": CLIP | {"eos_token_id": 9, "hidden_act": "gelu"},
    "clap": {
        "vocab_size": 11,
        "hidden_size": 8,
        "intermediate_size": 10,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 9,
        "projection_dim": 6,
    },
    "gpt2": {
        "vocab_size": 11,
        "n_positions": 16,
        "n_embd": 8,
        "n_layer": 2,
        "n_head": 2,
    },
    "projection": {
        "text_encoder_dim": 6,
        "text_encoder_1_dim": 5,
        "langauge_model_dim": 8,
        "use_learned_position_embedding": True,
        "max_seq_length": 4,
    },
}

# Ids in the manner of each tokenizer: 1 fills a batch, 9 and 10 end a text.
TOKENS = np.array([[3, 4, 5, 9, 10, 1, 1], [8, 7, 6, 5, 4, 9, 10]], np.int32)
MASK = TOKENS != 1
STEPS = 4


def prompt():
    """One token of a first encoder, four of a second, of which a text has two."""
    rng = np.random.default_rng(0)
    first = rng.standard_normal((2, 1, 6)).astype(np.float32)
    second = rng.standard_normal((2, 4, 5)).astype(np.float32)
    return first, second, np.ones((2, 1), bool), np.array([[1, 1, 0, 0], [1] * 4]) == 1


def drawn(shapes):
    """Arrays of these names and shapes, the same wherever they are drawn."""
    arrays = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        noise = rng.standard_normal(shape).astype(np.float32)
        if len(shape) > 1:
            arrays[name] = noise / np.float32(shape[-1] ** 0.5)
        else:
            middle = 1 if name.endswith("weight") else 0  # of a norm
            arrays[name] = np.float32(middle) + np.float32(0.1) * noise
    return arrays
