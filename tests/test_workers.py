from pathlib import Path

import pytest
from conftest import TINY, summary_of, type_command

from cifar_arch.search.workers import Workers


def test_the_workers_of_a_host_share_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    first = Workers(tmp_path)
    assert (first.threads(), first.threads(at_once=2), first.threads(at_once=99)) == (6, 3, 1)
    second = Workers(tmp_path)
    assert (first.threads(), second.threads(), second.threads(at_once=2)) == (3, 3, 1)
    second.leave()
    assert first.threads() == 6
    (tmp_path / f"{first.me.partition('-')[0]}-1-killed.lock").touch()  # its process is no more
    (tmp_path / "elsewhere-1-abcdef.lock").touch()  # another host has cores of its own
    assert first.threads() == 6
    first.leave()


THREADS: dict[str, tuple[tuple[str, ...], int]] = {
    "one after the other": ((), 6),
    "two at once": (("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), 3),
    "as typed": (("training.threads=2",), 2),
}


@pytest.mark.slow
@pytest.mark.parametrize(("words", "threads"), THREADS.values(), ids=THREADS)
def test_a_trial_gets_its_share_and_has_it_on_record(
    words: tuple[str, ...], threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    done = type_command("run", "-m", *TINY, "seed=0,1", "epochs=1", "study=s", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for number in "01":
        summary = summary_of(tmp_path / "outputs" / "sweeps" / "s" / number)
        assert summary["threads"] == threads
        assert summary["precision"] in ("float32", "bf16")
