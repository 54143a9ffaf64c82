"""The mathematics of diffusion: arrays and functions only, no network, no audio.

Read in this order: ``families`` and ``schedule`` (how much noise when), ``flow`` and
``process`` (from data to noise), ``prediction``, ``weighting``, ``times`` and ``loss``
(what is learned), ``reverse`` (the variances of the way back), ``grid`` (where a
sampler stops), ``solvers`` (how it gets from stop to stop), ``guidance``,
``sampling``, ``editing``, ``likelihood``. ``noise`` addresses randomness by example.
The equations stand beside the functions in docs/mathematics.md.

Steps are counted from 0: ``t = 0`` in the code is t = 1 in the papers, and x_0, the
data, has no index. ``alpha`` is sqrt(alpha_bar), the factor on the data; ``sigma`` is
sqrt(1 - alpha_bar), the factor on the noise.
"""
