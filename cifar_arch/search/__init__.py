"""Optuna search over architectures: a shared study, its workers, Hydra's sweeper and `local.search`."""
