"""python -m cifar_arch.report: see `command`."""

from cifar_arch.report.command import main

if __name__ == "__main__":
    main()
