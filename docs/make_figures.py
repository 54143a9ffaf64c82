"""Makes the pictures of docs/mathematics.md: ``python docs/make_figures.py``."""

from pathlib import Path

from diffusion_audio.study.diffusion_figures import FIGURES

if __name__ == "__main__":
    for name, make in FIGURES.items():
        make().savefig(Path(__file__).parent / "figures" / f"{name}.png")
