"""rejected.csv: a row for each rule that a candidate broke."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cifar_arch.limits import Violation
from cifar_arch.runfolder import atomic
from cifar_arch.search.space import overrides

COLUMNS = ("trial", "overrides", "rule", "limit", "actual", "message")


class Rejections:
    """The table of one study; written under the study's lock."""

    def __init__(self, path: Path):
        self.path = path

    def add(self, number: int, point: Mapping[str, Any], violations: Iterable[Violation]) -> None:
        text = " ".join(overrides(point))
        rows = [(number, text, v.rule, v.limit, v.actual, v.message) for v in violations]
        before = self.path.read_text() if self.path.exists() else ",".join(COLUMNS) + "\n"
        with atomic(self.path) as temporary, temporary.open("w", newline="") as file:
            file.write(before)
            csv.writer(file, lineterminator="\n").writerows(rows)
