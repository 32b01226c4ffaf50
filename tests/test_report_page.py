"""What a report writes, and its page in a real browser."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import type_command
from generated_runs import write_run, write_sweep
from PIL import Image

from cifar_arch.record import Status
from cifar_arch.report import load_runs, page, tables
from cifar_arch.report.effects import comparable
from cifar_arch.report.figures import accuracy_against
from cifar_arch.report.page import best_run, layer_rows
from cifar_arch.report.report import Report
from cifar_arch.runfolder import RunFolder

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=4000"),
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


MANY: dict[str, Any] = {  # a leaderboard shows no more settings
    **{"c1": "separable", "c2": "inverted_residual", "c3": "separable_residual", "t2": "dilated"},
    **{"t3": "dilated", "model__activation": "hardswish", "model__stem": 3, "training__lr": 0.00123},
    **{"training__weight_decay": 0.00012, "training__label_smoothing": 0.12},
}


def accuracy(point: dict[str, Any]) -> float:
    return float(0.7 + 0.01 * point["width"] - 0.02 * (point["t1"] == "dilated"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report over a sweep, pruned and broken runs, a confirmation and one on the synthetic data set."""
    outputs = (place := tmp_path_factory.mktemp("page")) / "outputs"
    space: dict[str, Any] = {"t1": ["strided", "dilated"], "c4": ["plain", "separable"], "width": [8, 12]}
    write_sweep(outputs, "s", space, accuracy, seeds=(0, 1))
    write_run(outputs / "sweeps" / "s" / "90", 0.2, status=Status.PRUNED, study="s", trial__number=90)
    write_run(outputs / "confirm" / "s" / "3-seed0", None, test=0.81, data__validation=0)
    write_run(outputs / "runs" / "<b>bold", 0.5, pictures="shapes", **MANY)
    write_run(outputs / "runs" / "broken").summary.write_text("{", encoding="utf-8")
    rules = "\n".join(f"{n},width=40,{rule},1,2,m" for n, rule in enumerate(["params", "params", "dilated"]))
    (outputs / "sweeps" / "s" / "rejected.csv").write_text(
        f"trial,overrides,rule,limit,actual,message\n{rules}\n", encoding="utf-8"
    )
    (plots := outputs / "sweeps" / "s" / "2" / "plots").mkdir()  # of the best run
    for name in ("confusion_matrix", "misclassified"):
        Image.new("RGB", (8, 8), "red").save(plots / f"{name}.png")
    done = type_command("report", str(outputs), "--to", "report", "--group-by", "t1", cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    return place


def test_all_files_are_written(written: Path) -> None:
    left = {str(path.relative_to(written / "report")) for path in (written / "report").rglob("*.*")}
    figures = (
        "accuracy_macs accuracy_params accuracy_receptive_field importances learning_curves "
        "paired_effects parallel_coordinates rejected"
    )
    tables = {"leaderboard.md", "report.html", "runs.csv", "seeds.csv", "effects.csv"}
    assert left - {"runs.parquet"} == tables | {f"figures/{name}.png" for name in figures.split()}
    assert len(pd.read_csv(written / "report" / "runs.csv")) == 20


@pytest.mark.extra
def test_parquet_holds_the_same_table(written: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs --extra report")
    csv = pd.read_csv(written / "report" / "runs.csv")
    parquet = pd.read_parquet(written / "report" / "runs.parquet")
    assert len(csv) == len(parquet)
    assert csv["params"].tolist()[:16] == parquet["params"].tolist()[:16]


WORDS = """
20 runs: 18 completed, 1 pruned, 1 unreadable
synthetic data set never counts towards the target
no tested run reaches its target
is 4.00 points below
summary.json is damaged
Over seeds
strided → dilated
-2.00 … -2.00
By t1
mistakes on the validation images
alt="Misclassified, the surest first" src="data:image/png;base64,
c1.1.conv1
mean and std over seeds
python -m cifar_arch.run hydra.run.dir=2<
sweeps/<wbr>s/<wbr>6<
""".strip().splitlines()


def test_the_page_is_whole_and_honest(written: Path) -> None:
    page = (written / "report" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page.replace("xlink:href", "href"))
    assert [words for words in WORDS if words not in page] == []
    assert "<b>bold" not in page  # a folder's name is text
    assert "&lt;b&gt;bold" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_layer_table_sums_to_the_headline(finished_run: Path) -> None:
    rows, summary = layer_rows(RunFolder(finished_run)), RunFolder(finished_run).read_summary()
    assert summary is not None
    sums = [sum(int(row[name].replace(",", "")) for row in rows) for name in ("params", "macs")]
    assert sums == [summary.params, summary.macs]


def test_the_best_run_is_the_most_accurate_whatever_the_order(tmp_path: Path) -> None:
    for width, number in ((8, 0.5), (12, 0.9), (16, 0.7)):
        write_run(tmp_path / "runs" / str(width), number, width=width)
    best = best_run(Report.of(load_runs(tmp_path), tmp_path, sort="params"))
    assert best is not None
    assert (Path(best["folder"]).name, best["facts"]["validation"]) == ("12", "90.00%")


def test_what_is_left_out_is_counted_and_linked_from_nowhere(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_ROWS", 5)
    monkeypatch.setattr(page, "MOST_PROBLEMS", 1)
    runs = load_runs(written / "outputs")
    runs.loc[:2, "status"] = Status.FAILED
    report = Report.of(runs, written / "outputs")
    text = page.html(report, {"accuracy_params": accuracy_against(report.completed, "params")})
    assert set(re.findall(r'href="#run-(\d+)"', text)) == set("12345")
    assert "15 more in runs.csv" in text
    assert page.problems(report)[1] == ("...", "2 more in runs.csv", "")


def test_a_test_accuracy_alone_does_not_win(written: Path) -> None:
    order = pd.read_csv(written / "report" / "runs.csv")["folder"].str.rpartition("outputs/")[2].tolist()
    assert order[:2] == ["sweeps/s/2", "sweeps/s/3"]
    assert order[16:18] == ["confirm/s/3-seed0", "runs/<b>bold"]


def test_the_leaderboard_is_markdown(written: Path) -> None:
    lines = (written / "report" / "leaderboard.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 22
    assert {row.count("|") for row in rows} == {rows[0].count("|")}
    assert rows[2].startswith("| 1 | 82.00% |")


def test_validation_and_test_are_told_apart(written: Path) -> None:
    """A test accuracy is drawn hollow, and fewer than three points have no front."""
    runs = tables.ranking(load_runs(written / "outputs"))
    done = comparable(runs)
    [axes] = accuracy_against(done[done["data"] == "cifar10"], "params").axes
    points = {
        group.get_label(): (np.shape(group.get_offsets())[0], len(group.get_facecolor()) > 0)
        for group in axes.collections
        if str(group.get_label()).startswith("CIFAR-10")
    }
    assert points == {"CIFAR-10, validation": (16, True), "CIFAR-10, test": (1, False)}
    assert not [line for line in axes.lines if "front" in str(line.get_label())]


@pytest.mark.slow
def test_shares_that_are_all_zero_are_told_instead_of_drawn(tmp_path: Path) -> None:
    space: dict[str, Any] = {"t1": ["strided", "dilated"], "width": [8, 12]}
    truth = {("strided", 8): 0.6, ("dilated", 12): 0.6}  # each setting by itself makes no difference
    write_sweep(tmp_path / "outputs", "s", space, lambda p: truth.get((p["t1"], p["width"]), 0.5))
    done = type_command("report", "outputs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "so that no shares are shown" in page
    assert 'id="importances"' not in page
    assert 'id="parallel_coordinates"' in page


def browser(folder: Path, *arguments: str) -> str:
    assert CHROMIUM
    words = [CHROMIUM, *QUIET, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout


# What a reader does and sees, written into the title by the page itself.
PROBE = """<script>
const wide = document.documentElement.scrollWidth <= innerWidth;
const column = name => [...document.querySelector("table.sortable").tHead.rows[0].cells]
  .findIndex(c => c.textContent === name);
const rows = () => [...document.querySelector("table.sortable").tBodies[0].rows];
const keys = n => rows().map(r => r.cells[n].dataset.key);
const n = column("parameters"), head = document.querySelector("table.sortable").tHead.rows[0].cells[n];
head.firstElementChild.click(); const down = keys(n).filter(k => k).map(Number);
head.firstElementChild.click(); const up = keys(n).filter(k => k).map(Number);
const links = [...document.querySelectorAll("#accuracy_params a")];
const found = links.every(a => document.querySelector(a.getAttribute("href"))
  && a.querySelector("title").textContent);
const row = rows()[5];
row.scrollIntoView();
const shown = row.getBoundingClientRect().top >= head.getBoundingClientRect().bottom;
document.title = JSON.stringify({wide, shown, width: innerWidth, found, links: links.length,
  down: down.every((v, i) => !i || down[i - 1] >= v), up: up.every((v, i) => !i || up[i - 1] <= v),
  drawn: [...document.querySelectorAll("figure svg")].every(s => s.getBoundingClientRect().height > 100)});
</script></body>"""


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [390, 1200])
def test_in_a_browser(written: Path, tmp_path: Path, width: int) -> None:
    page = (written / "report" / "report.html").read_text(encoding="utf-8").replace("</body>", PROBE)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    # A window is at least 500 px wide; a frame is as narrow as a phone.
    frame = f'<iframe src="page.html" style="width:{width}px;height:3000px;border:0"></iframe>'
    copy = "onload=()=>document.title=frames[0].document.title"
    (tmp_path / "frame.html").write_text(
        f"<body style='margin:0'>{frame}<script>{copy}</script>", encoding="utf-8"
    )
    file = (tmp_path / "frame.html").as_uri()
    dom = browser(tmp_path, "--allow-file-access-from-files", "--window-size=1300,3000", "--dump-dom", file)
    seen = re.search(r"<title>(.*?)</title>", dom)
    assert seen
    truth = '"found":true,"links":17,"down":true,"up":true,"drawn":true'
    assert seen[1] == f'{{"wide":true,"shown":true,"width":{width},{truth}}}'


@pytest.mark.slow
@needs_browser
def test_a_print_breaks_no_word_and_keeps_every_column(written: Path, tmp_path: Path) -> None:
    pdf = tmp_path / "page.pdf"
    browser(tmp_path, f"--print-to-pdf={pdf}", (written / "report" / "report.html").as_uri())
    text = subprocess.run(
        ["pdftotext", "-layout", "-l", "1", pdf, "-"], capture_output=True, text=True, check=True
    )
    headings = next(line.split() for line in text.stdout.splitlines() if line.split()[:1] == ["rank"])
    assert headings[:4] == ["rank", "validation", "test", "parameters"]  # no word is broken
    assert headings[-2:] == ["status", "folder"]
    subprocess.run(["pdftoppm", "-r", "40", "-png", pdf, tmp_path / "sheet"], check=True)
    sheets = sorted(tmp_path.glob("sheet*.png"))
    assert 3 <= len(sheets) <= 10
    for sheet in sheets:  # none is empty, and nothing runs into the right edge
        grey = Image.open(sheet).convert("L")
        assert min(grey.tobytes()) < 100
        assert min(grey.crop((grey.width - 8, 0, grey.width, grey.height)).tobytes()) > 200
