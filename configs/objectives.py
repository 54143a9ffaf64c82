"""Schedules, losses and likelihoods, as presets of `configs/diffusion.py`.

Each changes a few groups of a config and stands after a preset that makes one, alone
or with others: ``tones,v,min_snr``. A group named here is replaced as a whole, so its
options can be set on the command line: ``--config.loss.weighting.gamma=3``.
"""

from ml_collections import ConfigDict


def chain(name: str, **options) -> dict:
    """A schedule of a thousand steps, with all of its options.

    Args:
        name: of its family.
        **options: of that family, and those of every one that are not as they are here.
    """
    every = {"steps": 1000, "shift": 1.0, "zero_terminal_snr": False}
    return {"name": name, **every, **options}


# The betas of latent diffusion, Stable Diffusion's and Auffusion's.
LATENT = {"beta_start": 0.00085, "beta_end": 0.012}


def _chain(name: str, **options) -> dict:
    return {"schedule": chain(name, **options)}


def _loss(**settings) -> dict:
    return {f"loss.{key}": value for key, value in settings.items()}


# Sampling starts where training ended: Lin et al. 2023, section 3.3.
FROM_PURE_NOISE = {"sampling.spacing": "trailing"}
# Where nothing of the data is left, predicted noise says nothing of it.
FROM_A_LITTLE_LATER = {
    "sampling.solver.name": "ddim",
    "sampling.steps": 50,
    "sampling.spacing": "leading",
}
FLOW = {"schedule": {"name": "rectified_flow", "shift": 1.0}}

# preset: dotted keys and what they become
CHANGES = {
    # How data become noise.
    "linear": _chain("linear", beta_start=1e-4, beta_end=0.02),
    "scaled_linear": _chain("scaled_linear", **LATENT),
    "sigmoid": _chain("sigmoid", start=-3.0, end=3.0, tau=1.0),
    "karras": _chain("karras", sigma_min=0.002, sigma_max=80.0, rho=7.0),
    "shifted_cosine": _chain("cosine", shift=2.0),
    "zero_snr": _chain("scaled_linear", **LATENT, zero_terminal_snr=True)
    | _loss(prediction="v")
    | FROM_PURE_NOISE,
    "flow": FLOW
    | _loss(
        prediction="velocity",
        times={"name": "logit_normal", "location": 0.0, "scale": 1.0},
    )
    | FROM_PURE_NOISE,
    # What the network predicts.
    "epsilon": _loss(prediction="epsilon") | FROM_A_LITTLE_LATER,
    "x0": _loss(prediction="x0"),
    "v": _loss(prediction="v"),
    "learned_variance": _loss(learned_variance=True),
    # What an error weighs.
    "min_snr": _loss(weighting={"name": "min_snr", "gamma": 5.0}),
    "p2": _loss(weighting={"name": "p2", "k": 1.0, "gamma": 1.0}),
    "truncated_snr": _loss(weighting={"name": "truncated_snr"}),
    "sigmoid_weighting": _loss(weighting={"name": "sigmoid", "bias": -3.0}),
    "edm_weighting": _loss(weighting={"name": "edm", "sigma_data": 1.0}),
    # How often each time is trained.
    "stratified": _loss(times={"name": "stratified"}),
    "logit_normal": _loss(
        times={"name": "logit_normal", "location": 0.0, "scale": 1.0}
    ),
    "importance": _loss(
        times={"name": "importance", "bins": 100, "memory": 10, "floor": 1e-3}
    ),
    # What an evaluation measures besides.
    "likelihood": {"likelihood": {"bound": True, "ode_steps": 64, "probes": 4}},
}


def _preset(changes: dict):
    """A function of a config, as presets are."""

    def apply(config: ConfigDict) -> None:
        for key, value in changes.items():
            *groups, name = key.split(".")
            node = config
            for group in groups:
                node = node[group]
            node[name] = value
        if "loss.learned_variance" in changes:
            config.denoiser.out_channels = 2 * config.denoiser.in_channels

    return apply


PRESETS = {name: _preset(changes) for name, changes in CHANGES.items()}
