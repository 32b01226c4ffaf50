"""python -m cifar_arch: which commands there are."""

import shutil
import sys
import textwrap

from cifar_arch.terminal import exit_on_errors

COMMANDS = {
    "check": "shows a network's layers, totals and limits; with -m, a search's size and how long it takes",
    "run": "trains a network; with -m, sweeps and searches",
    "report": "writes tables and a page on all runs of a folder",
    "confirm": "trains the best of a study again on all training images, with several seeds and the test set",
    "evaluate": "tests a trained network again, by class; or classifies your own pictures",
    "export": "writes a trained network as ONNX, also with 8 bits",
    "card": "packs a trained network as a folder to publish",
    "results": "writes a study as one Parquet table",
}


def main() -> None:
    """Exits with 2 where anything was typed but --help."""
    left = len("python -m cifar_arch.evaluate  ")
    width = max(2 * left, shutil.get_terminal_size().columns)
    with exit_on_errors():
        print(f"{'command':{left}}does")
        for name, what in COMMANDS.items():
            start = f"python -m cifar_arch.{name}".ljust(left)
            print(textwrap.fill(start + what, width, subsequent_indent=" " * left, break_on_hyphens=False))
        print("\nadd --help to any of them to see how it is used")
    sys.exit(0 if sys.argv[1:] in ([], ["--help"], ["-h"]) else 2)


if __name__ == "__main__":
    main()
