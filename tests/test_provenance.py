import subprocess
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from conftest import CHECKOUT, cases, tiny_config
from hypothesis import given
from hypothesis import strategies as st

from cifar_arch.provenance import flatten, git_commit, masked, provenance


def test_flatten_gives_full_keys() -> None:
    config = {"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None, 1: {2: 3}}
    assert dict(flatten(config)) == {"a.b.c": 1, "a.d": [1, 2], "e": None, "1.2": 3}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("password", "hunter2", "***"),
        ("DB_PASSWORD", "hunter2", "***"),
        ("api_key", "abc", "***"),
        ("apikey", "abc", "***"),
        ("auth_token", "abc", "***"),
        ("client_secret", 1234, "***"),
        ("token", None, None),
        ("storage", "postgresql://ann:hunter2@host:5432/db", "postgresql://ann:***@host:5432/db"),
        ("storage", "sqlite:///outputs/studies.db", "sqlite:///outputs/studies.db"),
        ("storage", "redis://:hunter2@host", "redis://:***@host"),
        (
            "storage",
            "postgresql://host/db?user=ann&password=hunter2",
            "postgresql://host/db?user=ann&password=***",
        ),
        ("storage", "postgresql://ann:hun@ter2@host/db", "postgresql://ann:***@host/db"),
        ("storage", "mysql://host/db?user=ann&passwd=hunter2#x", "mysql://host/db?user=ann&passwd=***#x"),
        ("storage", "mssql://host;UID=ann;PWD=hunter2;x=1", "mssql://host;UID=ann;PWD=***;x=1"),
        ("storage", "host=h password='hun ter2' user=ann", "host=h password=*** user=ann"),
        ("storage", "postgresql://ann:hun ter2@host/db", "postgresql://ann:***@host/db"),
        ("storage", r"host=h password='it\'s hunter2' user=ann", "host=h password=*** user=ann"),
        ("command", "run storage=x://host:1/db c1@x=plain", "run storage=x://host:1/db c1@x=plain"),
        ("storage", "https://hunter2@host/x", "https://***@host/x"),
        ("storage", "postgresql://ann@host/db", "postgresql://ann@host/db"),
        ("aws_access_key", "hunter2", "***"),
        ("db_passwd", "hunter2", "***"),
        ("lr", 0.25, 0.25),
    ],
)
def test_secrets_are_masked(name: str, value: Any, shown: Any) -> None:
    assert dict(flatten({"part": {name: value}})) == {f"part.{name}": shown}


@pytest.mark.parametrize(
    "config",
    [
        {"storages": ["postgresql://ann:hunter2@host/db"]},
        {"servers": [{"password": "hunter2"}]},
        {"password": {"first": "hunter2"}},
    ],
)
def test_secrets_are_masked_inside_lists_and_below_a_secret_name(config: dict[str, Any]) -> None:
    assert "hunter2" not in str(dict(flatten(config)))


USERS = st.text("abcé0-_.%", max_size=8)
HOSTS = st.from_regex(r"[a-z0-9.-]{1,12}(:[0-9]{2,4})?", fullmatch=True)
VISIBLE = st.characters(categories=["L", "M", "N", "P", "S"])  # nothing that a shell would have split


@cases(200)
@given(user=USERS, password=st.text(VISIBLE, min_size=1), host=HOSTS)
def test_no_password_of_an_address_is_shown(user: str, password: str, host: str) -> None:
    """Neither as it is typed, though some of its characters should have been escaped, nor as they are."""
    for spelled in (password, quote(password, safe="")):
        assert masked(f"postgresql://{user}:{spelled}@{host}/db") == f"postgresql://{user}:***@{host}/db"
    query = f"postgresql://{host}/db?user={user}&password={quote(password, safe='')}&x=1"
    assert masked(query) == f"postgresql://{host}/db?user={user}&password=***&x=1"


def test_provenance_names_versions_commit_and_config() -> None:
    found = provenance(tiny_config(seed=7))
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert found["versions"]["numpy"] == np.__version__
    assert found["config"]["training.epochs"] == 2


@pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="no checkout: this copy has no commit")
def test_the_commit_is_that_of_the_checkout() -> None:
    git = ("git", "-C", str(CHECKOUT), "rev-parse", "HEAD")
    head = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    assert git_commit() == provenance(tiny_config())["git_commit"] == head
