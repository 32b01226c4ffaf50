"""What claims on speed and on searches are measured with: `python -m benchmarks` runs all of it."""

from cifar_arch.device import limit_spinning

limit_spinning()  # as the commands do, before torch is imported
