"""Every solver at few steps, against DDIM at 200."""

from diffusion_audio.diffusion.solvers import SOLVERS
from diffusion_audio.study.spec import Experiment

experiment = Experiment(
    question="Which solver needs the fewest steps to be as good as DDIM with 200?",
    base="configs/diffusion.py:tones",
    baseline="ddim, 200",
    variants={
        f"{solver}, {steps}": {"sampling.solver": solver, "sampling.steps": steps}
        for solver in SOLVERS
        for steps in (10, 25)
    },
    metrics={
        "adherence": "higher",
        "all_right": "higher",
        "kernel": "lower",
        "frechet_extrapolated": "lower",
        "kl_reference_generated": "lower",
        "mel_l1": "lower",
        "faults": "lower",
    },
    common={
        "sampling.steps": 200,
        "sampling.spacing": "trailing",
        "listen.prompts": (),
    },
    components={"vae": "configs/vae.py:tones"},
    examples=4,
)
