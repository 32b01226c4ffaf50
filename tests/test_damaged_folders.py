"""Whatever the files of a run folder hold, the commands that read one answer in a sentence.

500 folders each; CIFAR_ARCH_CASES=10000 tries as many.
"""

import copy
import json
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Done, cases, tiny_config
from hypothesis import given
from hypothesis import strategies as st

from cifar_arch.report import load_runs
from cifar_arch.report.report import Report
from cifar_arch.report.screen import screen
from cifar_arch.runfolder import RunFolder

many = cases(500)
Content = bytes | None  # of a file; None: it is removed

READ = ("architecture.json", "summary.json", "checkpoints/weights.safetensors")
RESUMED = (".hydra/config.yaml", "experiment.json", "metrics.csv", "checkpoints/last.pt", *READ)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9)
    | st.sampled_from(
        ["completed", "${oc.env:HOME}", "${seed}", "${", "???", "auto", 1e400, -1, 2**63, "\ud800"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, name: str) -> Content:
    """Other bytes, another value, or the right ones with a part changed or left out."""
    kinds = ["removed", "bytes", "cut", "flipped", "value"]
    kind = draw(st.sampled_from(kinds + ["changed"] * 5 * name.endswith(("json", "yaml"))))
    match kind:
        case "removed":
            return None
        case "bytes":
            return draw(st.binary(max_size=50))
        case "cut":
            return whole[: draw(st.integers(0, len(whole) - 1))]
        case "flipped":
            flipped = bytearray(whole)
            for place in draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=9)):
                flipped[place] ^= 1 << draw(st.integers(0, 7))
            return bytes(flipped)
        case "value":
            return json.dumps(draw(VALUES)).encode()
    return json.dumps(changed(draw, json.loads(whole))).encode()


def changed(draw: st.DrawFn, whole: Any) -> Any:
    """A copy with one part replaced or left out."""
    whole = copy.deepcopy(whole)
    place = whole
    while True:
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not (isinstance(place[key], dict | list) and place[key] and draw(st.booleans())):
            break
        place = place[key]
    if draw(st.booleans()):
        del place[key]
    else:
        place[key] = draw(VALUES)
    return whole


class Folder:
    """A finished run whose files can be damaged and put back."""

    def __init__(self, path: Path):
        self.path = path
        self.files = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}

    def put_back(self) -> None:
        shutil.rmtree(self.path)
        for file, content in self.files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def damage(self, data: st.DataObject, names: tuple[str, ...]) -> None:
        self.put_back()
        file = self.path / data.draw(st.sampled_from(names))
        content = data.draw(damaged(self.files[file], file.name))
        file.unlink()
        if content is not None:
            file.write_bytes(content)


@pytest.fixture(scope="module")
def folder(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("damaged") / "run"
    shutil.copytree(finished_run, path)
    config = RunFolder(path).config
    config.parent.mkdir()
    # JSON is YAML as well.
    config.write_text(json.dumps(tiny_config(study=None)), encoding="utf-8")
    return Folder(path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, no_figures: None) -> Iterator[None]:
    """No figures, and the process as it was."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def in_a_sentence(done: Done, lines: int) -> None:
    assert done.status in (0, 1, 2)
    # Within pytest the lines of a training go there as well.
    said = [line for line in done.err.splitlines() if not line.startswith("epoch ")]
    assert (done.status == 0) == (said == [])
    assert len(said) <= lines
    assert "Traceback" not in done.err
    assert str(Path.home()) not in done.err


@pytest.mark.slow
@many
@given(data=st.data())
def test_evaluate_answers_in_a_sentence(folder: Folder, quick: None, cli: Cli, data: st.DataObject) -> None:
    folder.damage(data, READ)
    in_a_sentence(cli("evaluate", str(folder.path)), lines=1)


@pytest.mark.slow
@many
@given(data=st.data())
def test_a_resumed_run_answers_in_a_sentence(
    folder: Folder, quick: None, cli: Cli, data: st.DataObject
) -> None:
    folder.damage(data, RESUMED)
    if data.draw(st.booleans()):  # as if it had been killed
        for name in ("summary.json", "checkpoints/weights.safetensors"):
            (folder.path / name).unlink(missing_ok=True)
    in_a_sentence(cli("run", f"training.resume={folder.path}"), lines=2)


@pytest.mark.slow
@many
@given(data=st.data())
def test_a_report_lists_it(folder: Folder, data: st.DataObject) -> None:
    folder.damage(data, (*READ, *RESUMED))
    if data.draw(st.booleans()):
        (folder.path / "summary.json").unlink(missing_ok=True)
    runs = load_runs(folder.path, use_cache=False)
    assert len(screen(Report.of(runs, folder.path)).splitlines()) > 2


NOT_OURS = {
    "no UTF-8": b"\xff\xfe\x00",
    "a list": b"[]",
    "a text": b'"text"',
    "another object": b"{}",
    "nothing": b"",
    "nested too deep": b"[" * 100_000,
}
READERS = {
    "evaluate": ("evaluate", "{}", READ),
    "export": ("export", "{}", READ),
    "resume": ("run", "training.resume={}", RESUMED),
}


@pytest.mark.parametrize("content", NOT_OURS.values(), ids=NOT_OURS)
@pytest.mark.parametrize(
    "reader", [pytest.param(name, marks=pytest.mark.extra) if name == "export" else name for name in READERS]
)
def test_a_file_that_is_not_ours_is_named(
    folder: Folder, quick: None, cli: Cli, reader: str, content: bytes
) -> None:
    if reader == "export":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    command, argument, names = READERS[reader]
    for name in names:
        folder.put_back()
        (folder.path / name).write_bytes(content)
        done = cli(command, argument.format(folder.path))
        in_a_sentence(done, lines=2)
        if reader != "resume":  # which writes some files again
            assert done.status == 2
            assert Path(name).name in done.err
