"""English text as phonemes, by eSpeak NG through the phonemizer library.

Both come with the extra ``[speech]``; nothing else asks for them.
"""

import re

from diffusion_audio.errors import UserError


def phonemize(text: str) -> str:
    """The phonemes of a text as transformers' `VitsTokenizer` asks for them.

    American English in the letters of the IPA, with stress and punctuation, on one
    line.

    Raises:
        UserError: the libraries are not installed, or cannot work.
    """
    try:
        import espeakng_loader
        import phonemizer
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
    except ImportError as error:
        raise UserError(
            f"a transcript in letters needs eSpeak NG ({error}): install the extra, "
            "`pip install 'diffusion-audio[speech]'`, or give the transcript in the "
            "IPA, with --phonemes"
        ) from error
    try:
        EspeakWrapper.set_library(espeakng_loader.get_library_path())
        EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
        said = phonemizer.phonemize(
            text,
            language="en-us",
            backend="espeak",
            strip=True,
            preserve_punctuation=True,
            with_stress=True,
        )
    except (OSError, RuntimeError, AttributeError) as error:
        raise UserError(f"eSpeak NG could not read the transcript: {error}") from error
    return re.sub(r"\s+", " ", said)
