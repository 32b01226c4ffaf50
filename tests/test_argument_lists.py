"""Whatever arguments the commands on finished work get: a result, or one sentence and a status.

CIFAR_ARCH_CASES=10000 tries more. tests/test_override_lists.py does the same for check and run.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, cases
from generated_runs import write_sweep
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sweeping import sweep

from cifar_arch import export
from cifar_arch.record import Status, Summary
from cifar_arch.report import files
from cifar_arch.runfolder import RunFolder
from cifar_arch.search import worker

pytestmark = pytest.mark.slow

PLACES = ["run", "swept", "outputs", "pictures", "run/summary.json", "nowhere", "new/folder", "", ".", "a b"]
COLUMNS = ["params", "-params", "accuracy", "width", "c4", "folder", "training.lr", "lr", "-", "", "größe"]
TEXTS = ["s", "S", "", "x\ny", "\x1b[31m", "2026", "*", "../s", "a=b"]
NUMBERS = ["0", "1", "2", "-1", "9" * 30, "0.5", "nan", "1e400", "x", "", "²"]
PLUGINS = ["nowhere.py", "run", "pictures/notes.txt", "empty.py", "run/empty.py"]
CONDITIONS = ["params > 0", "params < 0", "width == 8 or c4 == 'plain'", "width", "nope == 1", "(", ""]

OPTIONS: dict[str, dict[str, list[str]]] = {
    "report": {
        "--study": TEXTS,
        "--where": CONDITIONS,
        "--sort": COLUMNS,
        "--group-by": COLUMNS,
        "--to": PLACES,
    },
    "evaluate": {"--data": PLACES, "--images": PLACES, "--json": [], "--plugin": PLUGINS},
    "export": {"--data": PLACES, "--to": [*PLACES, "net.onnx"], "--int8": [], "--plugin": PLUGINS},
    "card": {"--data": PLACES, "--to": PLACES, "--plugin": PLUGINS},
    "confirm": {
        "--top": NUMBERS,
        "--trial": NUMBERS,
        "--seeds": NUMBERS,
        "--prefer": ["accuracy", "smallest", "largest"],
        "--target": NUMBERS,
        "--epochs": NUMBERS,
        "--outputs": PLACES,
        "--storage": ["sqlite:///outputs/studies.db", "sqlite:///none.db", "x", "mysql://host/db", ""],
        "--workers": ["0", "1", "x"],
        "--plugin": PLUGINS,
    },
}


def arguments(command: str, *first: str) -> st.SearchStrategy[list[str]]:
    """Lists that often get far: one of `first` or two places or texts, then some options."""
    known = OPTIONS[command]
    option = st.sampled_from(sorted(known)).flatmap(
        lambda name: st.tuples(st.just(name), *[st.sampled_from(known[name])] * bool(known[name]))
    )
    odd = st.tuples(st.sampled_from(["--", "-x", "--help", "--js", *PLACES, *TEXTS]) | st.text(max_size=4))
    named = st.lists(st.sampled_from([*first * 9, *PLACES, *TEXTS]), min_size=0, max_size=2)
    rest = st.lists(st.one_of(option, option, option, odd), max_size=4)
    return st.tuples(st.just(list(first)) | named, rest).map(
        lambda drawn: [*drawn[0], *(word for words in drawn[1] for word in words)]
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, finished_run: Path) -> Path:
    """A finished run, a sweep of eight runs, a study of two trials, and some pictures."""
    place = tmp_path_factory.mktemp("made")
    done = sweep("width=4,5", "limits=none", "epochs=1", "study=s", cwd=place)
    assert done.returncode == 0, done.stderr
    shutil.copytree(finished_run, place / "run")
    write_sweep(place / "swept", "s", {"c4": ["plain", "separable"], "width": [8, 12]}, lambda p: 0.5)
    (place / "pictures").mkdir()
    Image.new("RGB", (40, 30), "red").save(place / "pictures" / "red.png")
    for file in ("pictures/notes.txt", "empty.py", "run/empty.py"):
        (place / file).touch()
    return place


@contextlib.contextmanager
def copied(place: Path) -> Iterator[None]:
    """In a copy: what one list leaves is not there for the next."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(place, Path(folder) / "copy")
        with contextlib.chdir(Path(folder) / "copy"):
            yield


def assert_told(cli: Cli, made: Path, command: str, typed: list[str]) -> None:
    with copied(made):
        done = cli(command, *typed)
    assert "Traceback" not in done.out + done.err
    assert done.status in (0, 1, 2), done
    if done.err.startswith("usage: "):  # of argparse, which repeats what was typed as it is
        assert ": error: " in done.err
        return
    assert "\x1b" not in done.out + done.err
    if done.status == 2:
        assert re.fullmatch(r".*\w.*\n", done.err), done


@cases(100)
@given(typed=arguments("report", "swept"))
def test_report_answers_any_list_in_a_sentence(
    cli: Cli, made: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str]
) -> None:
    monkeypatch.setattr(files, "report_figures", lambda _: {})  # a second for each list
    assert_told(cli, made, "report.command", typed)


@cases(60)
@given(typed=arguments("evaluate", "run"))
def test_evaluate_answers_any_list_in_a_sentence(cli: Cli, made: Path, typed: list[str]) -> None:
    assert_told(cli, made, "evaluate", typed)


@cases(50)
@given(typed=arguments("export", "run"))
def test_export_answers_any_list_in_a_sentence(
    cli: Cli, made: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str]
) -> None:
    monkeypatch.setattr(export, "NEEDED", ())
    monkeypatch.setattr(export, "_write", lambda _network, path, _classes: path.write_bytes(b"written"))
    monkeypatch.setattr(export, "largest_difference", lambda *_: 0.0)
    monkeypatch.setattr(export, "quantised", lambda path, _: path)
    monkeypatch.setattr(export, "compared", lambda *_: "compared")
    assert_told(cli, made, "export", typed)


@cases(30)
@given(typed=arguments("card", "run", "--to", "results/mine"))
def test_card_answers_any_list_in_a_sentence(cli: Cli, made: Path, typed: list[str]) -> None:
    assert_told(cli, made, "card", typed)


def trained(config: dict[str, Any], path: Path, *_: Any, **__: Any) -> Summary:
    """What `experiment.run_config` leaves, without learning anything."""
    summary = Summary(status=Status.COMPLETED, test_accuracy=0.5, seconds=1.0, device="cpu")
    RunFolder(path).write_summary(summary)
    return summary


@cases(40)
@given(typed=arguments("confirm", "s"))
def test_confirm_answers_any_list_in_a_sentence(
    cli: Cli, made: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str]
) -> None:
    monkeypatch.setattr(worker, "run_config", trained)
    assert_told(cli, made, "confirm", typed)
