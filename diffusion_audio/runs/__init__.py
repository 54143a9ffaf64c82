"""Run directories: what a run keeps of itself, and reading it without the trainer."""
