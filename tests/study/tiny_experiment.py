"""An experiment of seconds: tiny networks, a few steps, two variants."""

RECIPE = """
from tests.recipes import tiny

def get_config():
    return tiny({task!r}, "tones", steps={steps})
"""
SPEC = """
from diffusion_audio.study.spec import Experiment

experiment = Experiment(
    question="Do <b>two</b> changes of nothing change anything?",
    base="{root}/diffusion.py",
    baseline="plain",
    common={{
        "listen.prompts": (),
        "data.cache_latents": False,
        "conditioners.text.max_tokens": 96,
    }},
    variants={{
        "no dropout": {{"loss.condition_dropout": 0.0}},
        "guided": {{"sampling.guidance": 5.0}},
    }},
    components={{"autoencoder": "{root}/vae.py"}},
    vocoder="{root}/vocoder.py",
    classifier="{root}/classifier.py",
    metrics={{"adherence": "higher", "kernel": "lower", "mel_l1": "lower"}},
    seeds=(0, 1),
    prompts=16,
    examples=2,
)
"""
README = """# A question

<!-- results: begin, written by `diffusion-audio experiment run` -->
<!-- results: end -->

The end.
"""


def make(root, steps=3):
    """The directory of the experiment."""
    for task in ("vae", "vocoder", "classifier", "diffusion"):
        (root / f"{task}.py").write_text(RECIPE.format(task=task, steps=steps))
    directory = root / "experiments" / "nothing"
    directory.mkdir(parents=True)
    (directory / "spec.py").write_text(SPEC.format(root=root))
    (directory / "README.md").write_text(README)
    return directory
