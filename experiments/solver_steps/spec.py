"""Every solver at few steps, against DDIM at 200."""

from diffusion_audio.study.spec import Experiment

FAST = ("ddim", "dpmpp_2m", "dpmpp_3m", "unipc")
# What the others get is 25 evaluations of the network. Where the chain starts nothing
# of the data is left, and methods that divide by alpha or take its slope there lose
# their way; they start a little later, as those who published them do.
OTHERS = {
    "ddpm, 25": {"solver.name": "ddpm", "steps": 25},
    "euler, 25": {"solver.name": "euler", "steps": 25},
    "euler_ancestral, 25": {"solver.name": "euler_ancestral", "steps": 25},
    "dpmpp_2m_sde, 25": {"solver.name": "dpmpp_2m_sde", "steps": 25},
    "pndm, 24, leading": {"solver.name": "pndm", "steps": 24, "spacing": "leading"},
    "heun, 13, leading": {"solver.name": "heun", "steps": 13, "spacing": "leading"},
    "heun, 13, trailing": {"solver.name": "heun", "steps": 13},
}

experiment = Experiment(
    question="Which solver needs the fewest steps to be as good as DDIM with 200?",
    base="configs/diffusion.py:tones",
    baseline="ddim, 200",
    variants={
        f"{solver}, {steps}": {"sampling.solver.name": solver, "sampling.steps": steps}
        for steps in (3, 5, 10, 25)
        for solver in FAST
    }
    | {
        name: {f"sampling.{key}": value for key, value in changes.items()}
        for name, changes in OTHERS.items()
    },
    common={
        "sampling.solver.name": "ddim",
        "sampling.steps": 200,
        "sampling.spacing": "trailing",
        "listen.prompts": (),
    },
    components={"autoencoder": "configs/vae.py:tones"},
    examples=4,
)
