"""python -m cifar_arch.card: what is published of a trained network."""

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import TINY, Cli, summary_of, type_command

from cifar_arch.blocks import BLOCKS
from cifar_arch.runfolder import RunFolder

pytestmark = pytest.mark.slow

RUNS = {
    "s0": ("seed=0",),
    "s1": ("seed=1",),
    "faster": ("seed=2", "training.lr=0.04"),
    "unread": ("seed=3", "read_test=false"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of one network."""
    place = tmp_path_factory.mktemp("trained")
    for name, words in RUNS.items():
        done = type_command(
            "run", *TINY, *words, "limits.params_below=9000", f"hydra.run.dir={name}", cwd=place
        )
        assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def cwd(trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in RUNS:
        shutil.copytree(trained / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_card_says_what_was_measured_and_gives_it_again(cwd: Path, cli: Cli) -> None:
    done = cli("card", "s1", "s0", "--to", "results/mine")
    assert (done.status, done.err) == (0, "")
    for name in RUNS:
        shutil.rmtree(name)  # the folder stands alone
    accuracies = re.findall(r"^\| [01] \| ([\d.]+%) \|", page(cwd), re.M)
    mean = sum(float(text.rstrip("%")) for text in accuracies) / 2
    assert f"test accuracy {mean:.2f}% (std " in done.out.replace("\n", " ")
    assert ", n = 2) on shapes" in page(cwd)
    assert "; weights of seed 0 in " in page(cwd)
    assert "never counts towards the target" in page(cwd)
    with (cwd / "results/mine/seeds.csv").open(newline="", encoding="utf-8") as file:
        rows = [(row["seed"], f"{float(row['test_accuracy']):.2%}") for row in csv.DictReader(file)]
    assert rows == [("0", accuracies[0]), ("1", accuracies[1])]
    evaluated = cli("evaluate", "results/mine")
    assert (evaluated.status, evaluated.err) == (0, "")
    assert f"test accuracy {accuracies[0]} (on record: {accuracies[0]})" in evaluated.out
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", page(cwd))
    assert pictures
    for picture in pictures:
        assert (cwd / "results/mine" / picture).stat().st_size > 1000


def test_a_card_trains_to_the_same_weights(cwd: Path, cli: Cli) -> None:
    assert cli("card", "s0", "s1", "--to", "results/mine").status == 0
    words = shlex.split(summary_of(cwd / "results/mine")["command"])
    assert f"{' '.join(words)}\n" in page(cwd)
    again = (*words[3:], "data.validation=5800", "training.device=cpu", "hydra.run.dir=again")
    done = type_command("run", *again, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    ours, published = RunFolder(cwd / "again").weights, RunFolder(cwd / "results/mine").weights
    assert ours.read_bytes() == published.read_bytes()


def test_own_options_are_published_as_they_were_trained(cwd: Path, cli: Cli) -> None:
    """And not the files that they came from, which may say something else since, or name this machine."""
    own = {
        "model/mine.yaml": "defaults: [c1c2c3c4, _self_]\nactivation: silu\n",
        "block/mine.yaml": "kind: plain\nsqueeze: 2\n",
        "data/mine.yaml": f"defaults: [shapes, _self_]\nroot: {cwd}/private\n",
    }
    for name, text in own.items():
        (cwd / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (cwd / "own" / name).write_text(text, encoding="utf-8")
    (cwd / "own" / "block" / "secret.yaml").write_text("token: abc\n", encoding="utf-8")
    typed = (
        "--config-dir",
        "own",
        *TINY[1:],
        "data=mine",
        "model=mine",
        "c2=mine",
        "training=sgd",
        "hydra.run.dir=mine",
    )
    assert type_command("run", *typed, cwd=cwd).returncode == 0
    params = summary_of(cwd / "mine")["params"]
    (cwd / "own" / "block" / "mine.yaml").write_text("kind: plain\nresidual: true\n", encoding="utf-8")
    for _ in range(2):  # over an earlier card as well
        done = cli("card", "mine", "--to", "results/mine")
        assert (done.status, done.err) == (0, "")
    card = cwd / "results" / "mine"
    assert sorted(p.name for p in card.rglob("*.yaml")) == [*["mine.yaml"] * 3, "winner.yaml"]
    assert not [p for p in card.rglob("*.*") if b"private" in p.read_bytes()]
    assert not [p for p in card.parent.iterdir() if p != card]
    shutil.rmtree(cwd / "own")
    words = shlex.split(summary_of(card)["command"])[3:]
    again = json.loads(cli("check", *words[:-2], "--json").out)
    assert again["params"] == params


@pytest.mark.parametrize("absolute", [False, True])
def test_no_path_of_this_machine_is_published(absolute: bool, cwd: Path, cli: Cli) -> None:
    Path("results/mine").mkdir(parents=True)  # an empty folder is free
    assert cli("card", "s0", "--to", str(cwd / "results/mine") if absolute else "results/mine").status == 0
    text = (".md", ".json", ".yaml", ".csv")
    texts = [file for file in (cwd / "results").rglob("*") if file.suffix in text]
    assert len(texts) == 6
    for file in texts:
        assert not re.search(rf"{cwd}|/home|/root|/tmp|/Users", file.read_text(encoding="utf-8")), file


REFUSED = {
    ("s0", "faster"): "run: 'faster' and 's0' differ in more than the seed (training.lr=0.04, now 0.03); "
    "name runs of one network and recipe\n",
    ("s0", "s0"): "run: seed 0 was given twice; name one run for each seed\n",
    ("unread",): "run: 'unread' has not read the test set; train it with read_test=true, as `confirm` does\n",
    ("none",): "run: 'none' is no folder; name the folder of a run, such as one under outputs/runs\n",
}


def test_files_of_one_name_cannot_stand_in_one_card(cwd: Path, cli: Cli) -> None:
    files = ["one/mine.py", "two/mine.py"]
    for number, file in enumerate(files):
        (cwd / file).parent.mkdir()
        block = f"class Mine{number}(Unit, frozen=True, kw_only=True):\n    convs = None\n"
        entered = (
            f"from cifar_arch.blocks import BLOCKS, Unit\n{block}BLOCKS['mine{number}'] = Mine{number}\n"
        )
        (cwd / file).write_text(entered, encoding="utf-8")
    done = cli("card", "s0", "--to", "results/mine", "--plugin", files[0], "--plugin", files[1])
    said = "--plugin: a card cannot hold two files of one name, got one/mine.py, two/mine.py; rename one\n"
    assert (done.status, done.err) == (2, said)
    for number in range(len(files)):
        del BLOCKS[f"mine{number}"]


def test_a_card_of_another_recipe_is_no_earlier_one(cwd: Path, cli: Cli) -> None:
    for seeds in (("s0", "s1"), ("s1",)):  # over its own
        assert cli("card", *seeds, "--to", "results/mine").status == 0
    before = page(cwd)
    said = (
        "--to: 'results/mine' is the card of another network or recipe (training.lr=0.03, now 0.04); "
        "remove it, or name another folder\n"
    )
    assert cli("card", "faster", "--to", "results/mine") == (2, "", said)
    assert page(cwd) == before


@pytest.mark.parametrize("to", ["s0", "s1", "", "report", "s0/summary.json", "s0/summary.json/in"])
def test_nothing_but_a_card_is_written_over(to: str, cwd: Path, cli: Cli) -> None:
    before = (cwd / "s0" / "summary.json").read_bytes()
    Path("report").mkdir()
    Path("report", "seeds.csv").touch()  # as `report` leaves it
    done = cli("card", "s0", "--to", to)
    assert (done.status, done.out) == (2, "")
    place = to.removesuffix("/in") or "."
    what = "is no folder; name " if "json" in to else "holds other files, which would be written over; name "
    assert done.err.startswith(f"--to: {place!r} {what}")
    assert (cwd / "s0" / "summary.json").read_bytes() == before


@pytest.mark.parametrize(("runs", "sentence"), REFUSED.items(), ids=" ".join)
def test_what_is_no_card(cwd: Path, cli: Cli, runs: tuple[str, ...], sentence: str) -> None:
    assert cli("card", *runs, "--to", "results/mine") == (2, "", sentence)
    assert not (cwd / "results").exists()


def test_an_accuracy_that_does_not_come_again_is_not_published(cwd: Path, cli: Cli) -> None:
    file = RunFolder("s0").summary
    summary = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**summary, "test_accuracy": 0.99}), encoding="utf-8")
    done = cli("card", "s0", "--to", "results/mine")
    assert done.status == 2
    assert re.fullmatch(r"run: 's0' gives [\d.]+% now, and has 99\.00% on record; .*--data\n", done.err)
    assert not (cwd / "results").exists()


def test_a_run_that_was_copied_in_part(cwd: Path, cli: Cli) -> None:
    shutil.rmtree(RunFolder("s0").plots)
    said = (
        "run: 's0' lacks plots/curves.png, plots/confusion_matrix.png; "
        "copy the folder again, or train it again\n"
    )
    assert cli("card", "s0", "--to", "results/mine") == (2, "", said)


def test_a_run_that_hydra_did_not_make(cwd: Path, cli: Cli) -> None:
    RunFolder("s0").hydra.write_text("- 1\n", encoding="utf-8")
    done = cli("card", "s0", "--to", "results/mine")
    assert done.status == 2
    assert done.err.startswith("run: 's0/.hydra/hydra.yaml' is not what Hydra wrote (")
    RunFolder("s0").config.unlink()
    assert cli("card", "s0", "--to", "results/mine").err == (
        "run: 's0' has no .hydra/config.yaml, as a card has none; "
        "name a folder in which python -m cifar_arch.run trained\n"
    )


def page(cwd: Path) -> str:
    return (cwd / "results" / "mine" / "README.md").read_text(encoding="utf-8")
