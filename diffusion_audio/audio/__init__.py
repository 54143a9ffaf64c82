"""Signal processing: the mel contract, log-mels, Griffin-Lim, audio files.

``spec``, ``mel`` and ``griffin_lim`` need JAX only; ``files`` needs soundfile and
soxr, which machines that only train do not have, so nothing is imported here.
"""
