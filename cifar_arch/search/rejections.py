"""rejected.csv: a row for each rule that a candidate broke."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cifar_arch.limits import Violation
from cifar_arch.search.space import typed

COLUMNS = ("trial", "overrides", "rule", "limit", "actual", "message")


class Rejections:
    """The table of one study; written under the study's lock, each candidate in one piece."""

    def __init__(self, path: Path):
        self.path = path

    def add(self, number: int, point: Mapping[str, Any], violations: Iterable[Violation]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self.path.exists():
            writer.writerow(COLUMNS)
        words = typed(point)
        writer.writerows((number, words, v.rule, v.limit, v.actual, v.message) for v in violations)
        with self.path.open("a", newline="") as file:
            file.write(text.getvalue())
