"""Draws ``steps.png``, quality against evaluations, from ``results.json``.

python experiments/solver_steps/plot.py
"""

from pathlib import Path

import matplotlib.pyplot as plt

from diffusion_audio.evaluation.measures import about
from diffusion_audio.study import results, spec

HERE = Path(__file__).parent
# What is shown of each metric; one system of no use lies far outside of both.
RANGES = {"adherence": (0.9, 1.0), "kernel": (-3.0, 4.0)}


def evaluations(sampling: dict) -> int:
    """How often a system's solver evaluates the network."""
    n = sampling["steps"]
    return {"heun": 2 * n - 1, "pndm": n + 1}.get(sampling["solver"], n)


def main() -> None:
    """Writes the figure."""
    found = results.read(HERE, spec.load(HERE))
    sampling = {record["system"]: record["sampling"] for record in found.runs}
    baseline, *variants = found.systems
    solvers: dict[str, list[str]] = {}
    for system in variants:
        settings = sampling[system]
        name = settings["solver"]
        if settings["spacing"] != sampling[baseline]["spacing"]:
            name += f", {settings['spacing']}"
        solvers.setdefault(name, []).append(system)
    figure, axes = plt.subplots(1, len(RANGES), figsize=(11, 4.2), layout="tight")
    for (metric, shown), axis in zip(RANGES.items(), axes, strict=True):
        means = found.summaries(metric)
        axis.set_prop_cycle(color=plt.get_cmap("tab20").colors)
        for name, systems in solvers.items():
            across = [evaluations(sampling[system]) for system in systems]
            heights = [means[system].value for system in systems]
            axis.plot(across, heights, "o-", markersize=4, label=name)
        target = means[baseline]
        axis.axhspan(target.low, target.high, color="0.9")
        axis.axhline(target.value, color="0.3", lw=0.8, ls="--", label=baseline)
        axis.set(xscale="log", xlabel="evaluations of the network", ylim=shown)
        axis.set_xticks([3, 5, 10, 25], ["3", "5", "10", "25"])
        axis.minorticks_off()
        axis.set_title(about(metric).title, fontsize=10)
    axes[1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(HERE / "steps.png", dpi=110)


if __name__ == "__main__":
    main()
