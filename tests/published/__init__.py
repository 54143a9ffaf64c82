"""Tiny published systems: random weights in the layouts and names of the real ones."""
