"""The mathematics of diffusion: arrays and functions only, no network, no audio.

Read in this order: ``schedule`` (how much noise when), ``process`` (the forward
chain and its posterior), ``loss`` (what is learned), ``grid`` (where a sampler stops),
``solvers`` (how it gets from stop to stop), ``guidance``, ``sampling`` and ``editing``.
``noise`` addresses randomness by example.

Steps are counted from 0: ``t = 0`` in the code is t = 1 in the papers, and x_0, the
data, has no index. ``alpha`` is sqrt(alpha_bar), the factor on the data; ``sigma`` is
sqrt(1 - alpha_bar), the factor on the noise.
"""
