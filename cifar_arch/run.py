"""python -m cifar_arch.run [overrides]: one experiment; with -m a sweep."""

import sys

try:
    from cifar_arch.app import main
except KeyboardInterrupt:  # in the second that this takes
    print("interrupted", file=sys.stderr)
    sys.exit(130)

if __name__ == "__main__":
    main()
