"""The published text encoders that AudioLDM, AudioLDM 2 and Auffusion stand on."""

CLAP = {
    "vocabulary": 50265,
    "positions": 514,
    "width": 768,
    "depth": 12,
    "heads": 12,
    "hidden": 3072,
    "projection": 512,
    "types": 1,
    "padding": 1,
    "epsilon": 1e-12,
    "dtype": "bfloat16",
}
FLAN_T5_LARGE = {
    "vocabulary": 32128,
    "width": 1024,
    "depth": 24,
    "heads": 16,
    "head_width": 64,
    "hidden": 2816,
    "activation": "gelu_new",
    "gated": True,
    "buckets": 32,
    "max_distance": 128,
    "epsilon": 1e-6,
    "dtype": "bfloat16",
}
GPT2 = {
    "vocabulary": 50257,
    "positions": 1024,
    "width": 768,
    "depth": 12,
    "heads": 12,
    "hidden": 3072,
    "epsilon": 1e-5,
    "dtype": "bfloat16",
}
PROJECTION = {
    "first": 512,
    "second": 1024,
    "width": 768,
    "positions": 0,
    "dtype": "bfloat16",
}
CLIP_L14 = {
    "vocabulary": 49408,
    "max_tokens": 77,
    "width": 768,
    "depth": 12,
    "heads": 12,
    "hidden": 3072,
    "activation": "quick_gelu",
    "eos": 49407,
    "epsilon": 1e-5,
    "dtype": "bfloat16",
}
ADAPTER = {"condition": 768, "context": 768, "dtype": "bfloat16"}

# A group of a config's conditioners each.
AUDIOLDM = {"clap": {"name": "clap", "text": CLAP, "trained": False}}
AUDIOLDM2 = {
    "language_of_audio": {
        "name": "language_of_audio",
        "clap": CLAP,
        "t5": FLAN_T5_LARGE,
        "projection": PROJECTION,
        "gpt2": GPT2,
        "tokens": 8,
        "max_tokens": 128,
        "padding": "independent",
        "null": "zeros",
        "negative": "whole",
        "trained": False,
    }
}
AUFFUSION = {
    "clip": {"name": "clip", "text": CLIP_L14, "adapter": ADAPTER, "trained": False}
}
