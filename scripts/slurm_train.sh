#!/usr/bin/env bash
# Trains on the nodes of a Slurm job, and goes on in a new one where time runs out.
#
#     sbatch --nodes=4 --gpus-per-node=8 scripts/slurm_train.sh \
#         --config=configs/diffusion.py:audioldm2 --workdir=/shared/runs/large \
#         --config.data.source=folder:/shared/clips --config.data.batch_size=256
#
# All words go to `diffusion-audio train`. The work directory, the data and the
# environment lie where every node sees them. Submit it from the repository's root;
# PROGRAM names another diffusion-audio than the one of .venv.
#
#SBATCH --job-name=diffusion-audio
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
# Five minutes before the end, to every process: the step is saved, and they exit 143.
#SBATCH --signal=TERM@300
set -euo pipefail

PROGRAM=${PROGRAM:-.venv/bin/diffusion-audio}
MOST_RESTARTS=${MOST_RESTARTS:-100}
SAVED_BY_SIGTERM=143

if (($# == 0)); then
    echo "usage: sbatch $0 --config=FILE.py[:PRESETS] --workdir=DIR [...]" >&2
    exit 2
fi

echo "job $SLURM_JOB_ID, start ${SLURM_RESTART_COUNT:-0}, on $SLURM_JOB_NODELIST" >&2
code=0
# The first process to end leaves the others time to finish a save; a second signal, as
# --kill-on-bad-exit sends it, would end them without. One that hangs is ended then.
srun --kill-on-bad-exit=0 --wait=600 "$PROGRAM" train "$@" || code=$?

if ((code == SAVED_BY_SIGTERM)); then
    if ((${SLURM_RESTART_COUNT:-0} >= MOST_RESTARTS)); then
        echo "stopped after $MOST_RESTARTS restarts; submit it again to go on" >&2
        exit "$code"
    fi
    # The same command goes on from the step that was saved.
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$code"
