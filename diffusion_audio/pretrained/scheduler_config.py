"""Diffusers' scheduler_config.json: read as our schedule, prediction and sampler."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from diffusion_audio.errors import UserError, shortened
from diffusion_audio.pretrained.diffusers_config import flag, require_class, wrong

# Their classes -> our solver, and what each has where the config says nothing.
SOLVERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "DDIMScheduler": (
        {"name": "ddim", "eta": 0.0},
        {"clip_sample": True, "set_alpha_to_one": True},
    ),
    "PNDMScheduler": ({"name": "pndm"}, {"skip_prk_steps": False}),
}
CHAINS = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "squaredcos_cap_v2": "cosine",
}
PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v", "sample": "x0"}
SPACINGS = ("leading", "trailing", "linspace")
MOST_STEPS = 100_000  # of a chain


class Scheduler(NamedTuple):
    """What a scheduler says, as groups of our config.

    Attributes:
        schedule: of the forward chain.
        prediction: what the network predicts.
        sampling: solver, and how its steps lie; neither their number nor guidance.
    """

    schedule: dict[str, Any]
    prediction: str
    sampling: dict[str, Any]


def scheduler(config: Mapping[str, Any], whose: str) -> Scheduler:
    """Our settings from diffusers'.

    Args:
        config: as it was read.
        whose: what it is, for errors.

    Raises:
        UserError: it is of another class, or asks for what our solvers do not do.
    """
    require_class(config, tuple(SOLVERS), whose)
    solver, defaults = SOLVERS[config["_class_name"]]
    config = defaults | dict(config)
    for name in ("thresholding", "trained_betas"):
        if config.get(name):
            raise wrong(name, config[name], "none", whose)
    if not config.get("skip_prk_steps", True):
        raise wrong("skip_prk_steps", False, "true", whose)
    solver = dict(solver)
    if flag(config, "clip_sample", False, whose):
        solver["clip"] = _number(config, "clip_sample_range", 1.0, whose)
    chain = _known(config, "beta_schedule", "linear", CHAINS, whose)
    schedule: dict[str, Any] = {
        "name": chain,
        "steps": _count(config, "num_train_timesteps", 1000, whose, least=1),
        "zero_terminal_snr": flag(config, "rescale_betas_zero_snr", False, whose),
    }
    if chain != "cosine":
        schedule["beta_start"] = _number(config, "beta_start", 1e-4, whose)
        schedule["beta_end"] = _number(config, "beta_end", 0.02, whose)
    whole = flag(config, "set_alpha_to_one", False, whose)
    spacing = {name: name for name in SPACINGS}
    sampling = {
        "solver": solver,
        "spacing": _known(config, "timestep_spacing", "leading", spacing, whose),
        "steps_offset": _count(config, "steps_offset", 0, whose),
        "final": "data" if whole else "first",
    }
    prediction = _known(config, "prediction_type", "epsilon", PREDICTIONS, whose)
    return Scheduler(schedule, prediction, sampling)


def scheduler_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """Diffusers' scheduler_config.json of one of our configs; the inverse.

    Raises:
        UserError: diffusers has no such solver or chain.
    """
    solver = config["sampling"]["solver"]
    classes = {ours["name"]: name for name, (ours, _) in SOLVERS.items()}
    chains = {ours: theirs for theirs, ours in CHAINS.items()}
    schedule = config["schedule"]
    if schedule["name"] not in chains or schedule.get("shift", 1.0) != 1:
        raise UserError(
            f"diffusers has no chain such as {shortened(repr(schedule))}; expected "
            f"{', '.join(chains)} without a shift"
        )
    # A sampler that a folder cannot hold is the user's to choose there: DDIM is.
    name = classes.get(solver["name"], "DDIMScheduler")
    predictions = {ours: theirs for theirs, ours in PREDICTIONS.items()}
    sampling = config["sampling"]
    spacing = sampling["spacing"] if sampling["spacing"] in SPACINGS else "leading"
    found = {
        "_class_name": name,
        "num_train_timesteps": schedule.get("steps", 1000),
        "beta_schedule": chains[schedule["name"]],
        "prediction_type": predictions[config["loss"]["prediction"]],
        "timestep_spacing": spacing,
        "steps_offset": sampling.get("steps_offset", 0),
        "set_alpha_to_one": sampling.get("final", "data") == "data",
    }
    for beta in ("beta_start", "beta_end"):
        if schedule.get(beta) is not None:
            found[beta] = schedule[beta]
    if name == "PNDMScheduler":
        return found | {"skip_prk_steps": True}
    found["rescale_betas_zero_snr"] = schedule.get("zero_terminal_snr", False)
    found["clip_sample"] = solver.get("clip") is not None
    if found["clip_sample"]:
        found["clip_sample_range"] = solver["clip"]
    return found


def _known(
    config: Mapping[str, Any],
    name: str,
    default: str,
    names: Mapping[str, str],
    whose: str,
) -> str:
    value = config.get(name, default)
    if not isinstance(value, str) or value not in names:
        raise wrong(name, value, " or ".join(names), whose)
    return names[value]


def _count(
    config: Mapping[str, Any], name: str, default: int, whose: str, least: int = 0
) -> int:
    value = config.get(name, default)
    if type(value) is not int or not least <= value <= MOST_STEPS:
        raise wrong(name, value, f"a whole number from {least} to {MOST_STEPS}", whose)
    return value


def _number(config: Mapping[str, Any], name: str, default: float, whose: str) -> float:
    value = config.get(name, default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < 100:
        raise wrong(name, value, "a number above 0", whose)
    return float(value)
