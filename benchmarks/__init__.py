"""What claims on speed and on searches are measured with: `python -m benchmarks` runs all of it."""

import os

from cifar_arch.device import limit_spinning


def as_typed() -> dict[str, str]:
    """The environment without what says how many threads there are and how they wait.

    A process that is started in it limits their spinning by itself, as a command does that is typed.
    """
    return {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "KMP_"))}


limit_spinning()  # as the commands do, before torch is imported
