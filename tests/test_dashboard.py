"""optuna-dashboard on a real study, looked at in headless Chromium."""

import json
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, environment, summary_of, type_command
from sweeping import wait_until

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1400",
    "--virtual-time-budget=20000",
)


class Study:
    """A finished sweep of two trained and two rejected trials, and the address of its dashboard."""

    def __init__(self, folder: Path, address: str):
        self.folder, self.address = folder, address

    def api(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.address}/api/studies/1", timeout=30) as answer:
            data: dict[str, Any] = json.load(answer)
            return data

    def page(self, path: str, tmp_path: Path) -> str:
        """The text that a person reads on a page."""
        assert CHROMIUM
        profile = tmp_path / "profile"
        address = f"{self.address}/dashboard{path}"
        done = subprocess.run(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", address],
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Text.of(done.stdout)


class Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        if self.lasttag not in ("style", "script"):
            self.found.append(data)

    @classmethod
    def of(cls, page: str) -> str:
        parser = cls()
        parser.feed(page)
        return " ".join(parser.found)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    folder = tmp_path_factory.mktemp("dashboard")
    tiny = [text for text in TINY if not text.startswith(("width", "limits"))]
    pooled = ("model.head=conv", "limits.fully_connected=false")
    typed = ("-m", "c4=separable,plain", "width=4,6", *tiny, *pooled, "study=looked-at")
    done = type_command("run", *typed, cwd=folder)
    assert done.returncode == 0, done.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    dashboard = str(Path(sys.executable).with_name("optuna-dashboard"))
    where = ("--artifact-dir", "outputs/artifacts", "--host", "127.0.0.1", "--port", port)
    server = subprocess.Popen(
        [dashboard, "sqlite:///outputs/studies.db", *where],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(int(port)))
        yield Study(folder, f"http://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait()


def test_the_dashboard_is_served_all_that_a_trial_is_known_by(study: Study) -> None:
    data = study.api()
    assert data["objective_names"] == ["accuracy"]
    complete = [t for t in data["trials"] if t["state"] == "Complete"]
    rejected = [t for t in data["trials"] if t["state"] == "Pruned"]
    assert (len(complete), len(rejected)) == (2, 2)
    for trial in complete:
        attributes = {a["key"]: a["value"] for a in trial["user_attrs"]}
        assert {"params", "receptive_field", "macs", "seconds", "folder"} <= set(attributes)
        assert trial["constraints"] == [0]
        assert [v["step"] for v in trial["intermediate_values"]] == [1, 2]
        assert trial["values"] == [summary_of(study.folder / attributes["folder"].strip('"'))["val_accuracy"]]
        assert sorted(a["filename"] for a in trial["artifacts"]) == ["curves.png", "misclassified.png"]
        for artifact in trial["artifacts"]:
            place = f"{study.address}/artifacts/1/{trial['trial_id']}/{artifact['artifact_id']}"
            with urllib.request.urlopen(place, timeout=30) as answer:
                assert answer.read(4) == b"\x89PNG"
    assert all(trial["constraints"][0] > 0 for trial in rejected)


# What a person sees on each page.
PAGES = {
    "": ["looked-at"],
    "/studies/1": ["History", "Best Trial", "number=1", "width"],
    "/studies/1/note": [
        "python -m cifar_arch.run -m c4=separable,plain width=4,6",
        "limits: ",
        "separable_at_least 1",
        "fully_connected False",
        "best so far: trial ",
    ],
    "/studies/1/trials?numbers=0": [
        "Complete",
        "params",
        "receptive_field",
        "macs",
        "seconds",
        "outputs/sweeps/looked-at/0",
        "curves.png",
    ],
    "/studies/1/trials?numbers=2": [
        "Pruned",
        "rejected",
        "infeasible",
        "at least 1 depthwise-separable layer is required, got 0",
        "outside the limits, and never trained",
    ],
}


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize(("path", "seen"), PAGES.items())
def test_a_person_sees(study: Study, path: str, seen: list[str], tmp_path: Path) -> None:
    text = study.page(path, tmp_path)
    assert [words for words in seen if words not in text] == [], text
