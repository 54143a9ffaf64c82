"""Every solver at few steps, against DDIM at 200."""

from diffusion_audio.diffusion.solvers import SOLVERS
from diffusion_audio.study.spec import Experiment

FEW = ("ddim", "dpmpp_2m", "dpmpp_3m", "unipc")

experiment = Experiment(
    question="Which solver needs the fewest steps to be as good as DDIM with 200?",
    base="configs/diffusion.py:tones",
    baseline="ddim, 200",
    variants={
        f"{solver}, {steps}": {"sampling.solver": solver, "sampling.steps": steps}
        for steps, solvers in ((10, FEW), (25, SOLVERS))
        for solver in solvers
    },
    common={
        "sampling.steps": 200,
        "sampling.spacing": "trailing",
        "listen.prompts": (),
    },
    components={"vae": "configs/vae.py:tones"},
    examples=4,
)
