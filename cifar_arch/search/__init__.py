"""Optuna search over architectures: the study, its space, its jobs, and Hydra's face of it."""
