"""All documents stay true: the file tree, links, names of extras; no path of a machine."""

import os
import re
import subprocess
import tomllib

import pytest
from conftest import CHECKOUT
from test_readme import section

DOCUMENTS = sorted(
    str(path.relative_to(CHECKOUT))
    for place in ("*.md", "docs/*.md", "results/*/*.md")
    for path in CHECKOUT.glob(place)
)


def test_extras_exist() -> None:
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    documents = "".join((CHECKOUT / name).read_text(encoding="utf-8") for name in DOCUMENTS)
    assert set(re.findall(r"--extra[ =](\w+)", documents)) <= set(extras)


def tracked() -> set[str]:
    if not (CHECKOUT / ".git").exists():
        pytest.skip("needs the git checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


def test_the_file_tree_is_the_one_in_git() -> None:
    (tree,) = section("The files", "text")
    shown, folder = set(), ""
    for line in tree.splitlines():
        name, _, comment = line.strip().partition(" ")
        assert comment.strip() or not line.startswith(" "), f"no comment on {line!r}"
        if not line.startswith(" "):
            folder = name
        elif folder == "conf/" and name.endswith("/"):
            shown |= {f"{folder}{name}{n}.yaml" for n in comment.strip().partition(":")[0].split(", ")}
        else:
            shown.add(folder + name)
    ours = {name for name in tracked() if name.startswith(("cifar_arch/", "conf/"))}
    assert (sorted(ours - shown), sorted(shown - ours)) == ([], []), "(not in README, not in git)"


def slug(heading: str) -> str:
    """The anchor of a heading, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_resolve(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", (CHECKOUT / name).read_text(encoding="utf-8")):
        if re.match(r"\w+://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (CHECKOUT / name).parent / path if path else CHECKOUT / name
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
            assert anchor in map(slug, headings), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_path_of_one_machine(name: str) -> None:
    found = re.findall(
        r"(?<![\w.])/(?:home|root|tmp|work|Users)/\S*", (CHECKOUT / name).read_text(encoding="utf-8")
    )
    assert found == []


def test_ci_is_executable_and_plain_bash() -> None:
    script = CHECKOUT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
