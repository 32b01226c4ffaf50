"""python -m cifar_arch.run [overrides]: one experiment; with -m a sweep."""

from cifar_arch.app import main

if __name__ == "__main__":
    main()
