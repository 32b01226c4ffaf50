"""Every file that is read or written as text names its encoding: the locale's is another on each machine."""

import ast
from collections.abc import Iterator

import pytest
from conftest import CHECKOUT

FILES = sorted(
    path for name in ("cifar_arch", "tests", "benchmarks") for path in (CHECKOUT / name).rglob("*.py")
)

TEXT = {"read_text", "write_text", "FileHandler"}
OPENED = {"open", "fdopen", "NamedTemporaryFile", "TemporaryFile"}
BYTES = {"Image", "os", "pty", "tarfile", "zipfile"}  # whose `open` knows no text


def nameless(source: str) -> Iterator[int]:
    """The lines of calls that leave the encoding to the locale."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        of = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
        literals = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
        binary = any(isinstance(value, str) and "b" in value and len(value) <= 3 for value in literals)
        texts = name in TEXT or (name in OPENED and of not in BYTES and not binary)
        if texts and "encoding" not in [keyword.arg for keyword in node.keywords]:
            yield node.lineno


NAMELESS = {
    "path.read_text()": 1,
    "(a / 'x.txt').write_text('é')": 1,
    "open('x')": 1,
    "path.open('w')": 1,
    "logging.FileHandler(log)": 1,
    "path.open('rb')": 0,
    "open(x, mode='wb')": 0,
    "Image.open(file)": 0,
    "path.read_text(encoding='utf-8')": 0,
}


@pytest.mark.parametrize("source", NAMELESS)
def test_what_is_looked_for(source: str) -> None:
    assert len(list(nameless(source))) == NAMELESS[source]


def test_no_file_is_read_in_the_encoding_of_the_locale() -> None:
    assert FILES
    found = {f"{path.relative_to(CHECKOUT)}": [*nameless(path.read_text(encoding="utf-8"))] for path in FILES}
    assert {file: lines for file, lines in found.items() if lines} == {}
