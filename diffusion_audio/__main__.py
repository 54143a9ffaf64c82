"""``python -m diffusion_audio VERB ...``, the same as ``diffusion-audio VERB ...``."""

import sys

from diffusion_audio.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
