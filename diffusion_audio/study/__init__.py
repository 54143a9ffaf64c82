"""Experiments and evaluations: plans, runs, results with statistics, their pages."""
