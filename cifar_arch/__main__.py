"""python -m cifar_arch: which commands there are."""

import sys

from cifar_arch.terminal import table

COMMANDS = {
    "check": "a network's layers, totals and limits; with -m the size of a search, and how long it takes",
    "run": "trains a network; with -m it sweeps and searches",
    "report": "tables and a page on all runs of a folder",
    "confirm": "the best of a study once more, on all training images, with several seeds and the test set",
    "evaluate": "the accuracy of a trained network again, by class; or the classes of your own pictures",
    "export": "a trained network as ONNX, and with 8 bits",
    "card": "a trained network as a folder to publish",
    "results": "a study as one Parquet table",
}


def main() -> None:
    """Exits with 2 where anything was typed but --help."""
    rows = [[f"python -m cifar_arch.{name}", what] for name, what in COMMANDS.items()]
    print(table([["command", "does"], *rows], left={0, 1}))
    print("\n--help after any of them says how it is typed")
    sys.exit(0 if sys.argv[1:] in ([], ["--help"], ["-h"]) else 2)


if __name__ == "__main__":
    main()
