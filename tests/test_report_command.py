"""What the command refuses, and what it makes of outputs that hold no finished run."""

import shlex
from pathlib import Path

import pytest
from conftest import Cli
from generated_runs import write_run, write_sweep

from cifar_arch.report import files, load_runs

COMMAND = "report.command"  # as the fixture `cli` takes it


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of eight runs."""
    folder = tmp_path_factory.mktemp("command") / "outputs"
    write_sweep(folder, "s", {"t1": ["strided", "dilated"], "width": [8, 12]}, lambda _: 0.7, seeds=(0, 1))
    return folder


REFUSED = {
    "--study x": "--study: no study 'x' in ",
    "--study S": "; there are s\n",
    "--where 'param < 3'": "--where: no column 'param'; did you mean 'params'?",
    "--where 'params < 3'": "--where: none of 8 runs meets 'params < 3'; relax it",
    "--where 'exit()'": "--where: 'exit()' is not allowed there; ",
    "--sort acuracy": "--sort: no column 'acuracy'; did you mean 'accuracy' or ",
    "--sort=-parms": "--sort: no column 'parms'; did you mean 'params'",
    "--sort -parms": "--sort: no column 'parms'; did you mean 'params'",
    "--group-by accuracy": "--group-by: the groups are compared in accuracy; name another, such as c4\n",
    "--group-by t9": "--group-by: no column 't9'; did you mean 't",
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.items(), ids=REFUSED)
def test_mistakes_are_a_sentence(
    outputs: Path, tmp_path: Path, cli: Cli, arguments: str, message: str
) -> None:
    done = cli(COMMAND, str(outputs), "--to", str(tmp_path / "r"), *shlex.split(arguments))
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
    assert not (tmp_path / "r").exists()


def test_folders_that_are_refused(outputs: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    file = tmp_path / "file"
    empty, missing = cli(COMMAND, str(tmp_path / "empty")), cli(COMMAND, str(tmp_path / "none"))
    assert (empty.status, missing.status, "no runs in " in empty.err) == (2, 2, True)
    assert "does not exist; name the folder that holds your runs" in missing.err
    write_run(tmp_path / "alone" / "runs" / "a")
    studyless = cli(COMMAND, str(tmp_path / "alone"), "--study", "s")
    assert studyless.err == f"--study: no study 's' in '{tmp_path / 'alone'}'; there are none here\n"
    (tmp_path / "empty" / "leaderboard.md").touch()
    taken = {
        file: "is no folder; name another place",
        tmp_path / "empty": "holds a leaderboard.md without a report's runs.csv; remove it, or name another "
        "folder for the report",
        tmp_path / "alone/runs/a": "holds a run or a card; name another folder for the report",
    }
    for to, what in taken.items():
        assert cli(COMMAND, str(outputs), "--to", str(to))[::2] == (2, f"--to: {str(to)!r} {what}\n")
    assert cli(COMMAND, str(outputs), "--to", str(file / "in")).err == f"--to: {str(file)!r} {taken[file]}\n"


def test_half_finished_outputs_report_without_a_best_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    write_run(tmp_path / "outputs" / "runs" / "a").summary.unlink()
    assert load_runs(tmp_path / "outputs" / "runs" / "a")["folder"][0] == str(tmp_path / "outputs/runs/a")
    (tmp_path / "outputs" / "rejected.csv").write_text("x", encoding="utf-8")
    monkeypatch.setattr(files, "PARQUET", "a_package_that_nobody_has")
    monkeypatch.chdir(tmp_path)
    done = cli(COMMAND)
    assert (done.status, done.err) == (0, "")
    assert "1 run: 1 running" in done.out
    assert "1 run without an end on record: still running, or killed; the same sweep goes on" in done.out
    assert "runs.parquet needs a package that is not installed: uv sync --inexact --extra report" in done.out
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "No run is completed yet." in page
    assert "still running, or killed after epoch 3" in page
