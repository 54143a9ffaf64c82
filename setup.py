"""The package, its command line and its dependencies.

Lower bounds say what the code needs; ``constraints.txt`` pins what it was tested
with, and ``make`` installs from there.
"""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"',
    (ROOT / "diffusion_audio/__init__.py").read_text(encoding="utf-8"),
)[1]

CORE = [
    # Modules, transforms, optimisers, checkpoints.
    "jax>=0.10.2",
    "flax>=0.12,<0.13",
    "optax>=0.2.8",
    "orbax-checkpoint>=0.12",
    "tensorstore",
    # Configs and flags.
    "ml_collections>=1.1",
    "absl-py>=2.3",
    # Data sets in ArrayRecord files, and the input pipeline. TFDS reads and writes
    # them without TensorFlow, but forgets to ask for importlib_resources.
    "tensorflow-datasets>=4.9.10",
    "importlib_resources",
    "array_record>=0.8",
    "grain>=0.2.18",
    # Audio files, resampling.
    "soundfile>=0.13",
    "soxr>=1.0",
    # Text.
    "tokenizers>=0.22",
    # Published weights, and where they lie.
    "safetensors>=0.5",
    "huggingface_hub>=2.4",
    # Progress, curves, figures, pages, numbers.
    "rich>=14",
    "tensorboardX>=2.6",
    "matplotlib>=3.10",
    "jinja2>=3.1",
    "numpy>=2",
    "scipy>=1.15",
]
# librosa is what our signal processing must equal.
TEST = [
    "pytest>=9",
    "pytest-xdist>=3.8",
    "hypothesis>=6.100",
    "librosa>=0.11",
]
LINT = ["ruff==0.17.6", "mypy>=2"]
# References that `make parity` compares with; nothing else needs PyTorch.
PARITY = [
    *TEST,
    "torch>=2.10",
    "diffusers>=0.36",
    "transformers>=5",
    "auraloss>=0.4",
    "torchmetrics>=1.9",
]

setup(
    name="diffusion-audio",
    version=VERSION,
    description="Latent audio diffusion in JAX: train, compare and reproduce.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["diffusion_audio", "diffusion_audio.*"]),
    package_data={"diffusion_audio": ["py.typed", "**/*.html", "**/*.js"]},
    install_requires=CORE,
    extras_require={
        # Public TFDS sets whose features are `tfds.features.Audio` need TensorFlow.
        "tfds": ["tensorflow-cpu>=2.20"],
        # What is said, in letters: published models of speech take phonemes.
        "speech": ["phonemizer-fork>=3.3", "espeakng-loader>=0.2.4"],
        "test": TEST,
        "lint": LINT,
        "parity": PARITY,
        "dev": [*PARITY, *LINT, "pre-commit>=4"],
    },
    entry_points={"console_scripts": ["diffusion-audio=diffusion_audio.cli.main:main"]},
)
