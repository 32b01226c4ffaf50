"""--where: comparisons of columns, joined by and, or, not and parentheses; nothing else is evaluated."""

import ast
import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from cifar_arch.report.settings import nulls
from cifar_arch.report.tables import label
from cifar_arch.schema import ConfigError

ALLOWED = "allowed are comparisons of columns, as in --where \"params < 100_000 and t1 == 'dilated'\""
NULL = "null"  # this and the next as YAML spells them
BOOLEANS = {"true": True, "false": False}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def filter_runs(runs: pd.DataFrame, condition: str) -> pd.DataFrame:
    """The runs that meet `condition`; a comparison with a value that a run has not is false.

    A setting that is null differs from every number: it is met by `training.clip != 1`, and by `== null`.
    Raises ConfigError for anything but comparisons of columns.
    """
    try:
        tree = ast.parse(condition.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        single = "; == compares" * bool(re.search(r"[^=!<>]=[^=]", condition))
        raise ConfigError(f"--where: {condition!r} cannot be read; {ALLOWED}{single}") from None
    try:
        kept = _mask(runs, tree.body)
    except RecursionError:
        raise ConfigError(f"--where: too deeply nested; {ALLOWED}") from None
    return runs[kept].reset_index(drop=True)


def require_column(runs: pd.DataFrame, name: str, option: str) -> str:
    """The name of a column. Raises ConfigError with the closest ones for one that does not exist."""
    if name in runs.columns:
        return name
    raise ConfigError(f"{option}: no column {name!r}; {closest(name, runs.columns)}")


def closest(name: str, names: Iterable[str]) -> str:
    """A hint: the names most like `name`, also by heading (field) and by last part (lr for training.lr)."""
    if not (names := list(names)):
        return "there are none here"
    like = [n for n in names if label(n).partition(" (")[0] == name or n.rpartition(".")[2] == name]
    like = like or difflib.get_close_matches(name, names, 2, 0.5)
    if like:
        return f"did you mean {' or '.join(map(repr, list(dict.fromkeys(like))[:3]))}?"
    return f"there are {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"


def _mask(runs: pd.DataFrame, node: ast.AST) -> pd.Series:
    match node:
        case ast.BoolOp():
            masks = [_mask(runs, value) for value in node.values]
            joined = masks[0]
            for mask in masks[1:]:
                joined = joined & mask if isinstance(node.op, ast.And) else joined | mask
            return joined
        case ast.UnaryOp(op=ast.Not()):
            return ~_mask(runs, node.operand)
        case ast.Compare():
            sides = [node.left, *node.comparators]
            masks = [
                _comparison(runs, op, left, right)
                for op, left, right in zip(node.ops, sides, sides[1:], strict=False)
            ]
            return pd.concat(masks, axis=1).all(axis=1)
        case ast.Name() | ast.Attribute() if is_bool_dtype(column := runs[_column(runs, node)]):
            return _filled(column)  # a column of yes and no is a comparison by itself
    raise _refused(node)


def _comparison(runs: pd.DataFrame, op: ast.cmpop, left: ast.AST, right: ast.AST) -> pd.Series:
    if isinstance(op, ast.In | ast.NotIn):
        return _membership(runs, isinstance(op, ast.In), left, right)
    compare = COMPARISONS.get(type(op))
    if compare is None:
        raise _refused(left)
    if NULL in map(ast.unparse, (left, right)):
        return _null_comparison(runs, op, left, right)
    for column, word in ((left, right), (right, left)):
        _require_quotes(runs, ast.unparse(column), word)
    a, b = _operand(runs, left), _operand(runs, right)
    if not any(isinstance(side, pd.Series) for side in (a, b)):
        raise _refused(left)
    if _is_text(a) != _is_text(b) and not any(_is_empty(side) for side in (a, b)):
        name, value = (ast.unparse(left), b) if isinstance(a, pd.Series) else (ast.unparse(right), a)
        other = repr(value) if not isinstance(value, pd.Series) else ast.unparse(right)
        raise _unlike(runs[name], other)
    missing, null = (pd.Series(False, index=runs.index) for _ in range(2))
    for side in (a, b):
        if isinstance(side, pd.Series):
            missing |= side.isna()
            null |= nulls(runs, str(side.name))
    met = missing & False if missing.all() else _filled(pd.Series(compare(a, b), index=runs.index)) & ~missing
    return met | null if isinstance(op, ast.NotEq) else met


def _require_quotes(runs: pd.DataFrame, column: str, word: ast.AST) -> None:
    """Raises ConfigError for a word beside a column of text that is no column itself."""
    if (
        column in runs
        and _is_text(runs[column])
        and isinstance(word, ast.Name)
        and word.id not in {*runs, *BOOLEANS}
    ):
        raise ConfigError(f"--where: no column {word.id!r}; put text in quotes: {column} == {word.id!r}")


def _null_comparison(runs: pd.DataFrame, op: ast.cmpop, left: ast.AST, right: ast.AST) -> pd.Series:
    null, side = (right, left) if ast.unparse(right) == NULL else (left, right)
    if not isinstance(op, ast.Eq | ast.NotEq) or not isinstance(side, ast.Attribute):
        raise _refused(null)
    name = _column(runs, side)
    return nulls(runs, name) if isinstance(op, ast.Eq) else runs[name].notna()


def _membership(runs: pd.DataFrame, inside: bool, left: ast.AST, right: ast.AST) -> pd.Series:
    if not isinstance(left, ast.Name | ast.Attribute) or not isinstance(right, ast.List | ast.Tuple):
        raise _refused(right)
    column = runs[_column(runs, left)]
    null = nulls(runs, str(column.name))
    values = [_constant(item) for item in right.elts if ast.unparse(item) != NULL]
    for value in values:
        if _is_text(column) != _is_text(value) and not _is_empty(column):
            raise _unlike(column, repr(value))
    found = column.isin(values) & column.notna()
    found = found | null if len(values) < len(right.elts) else found
    return found if inside else ~found & (column.notna() | null)


def _unlike(column: pd.Series, other: str) -> ConfigError:
    kind = "text" if _is_text(column) else "numbers"
    return ConfigError(f"--where: {column.name} holds {kind} and cannot be compared with {other}")


def _operand(runs: pd.DataFrame, node: ast.AST) -> Any:
    if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) not in BOOLEANS:
        return runs[_column(runs, node)]
    return _constant(node)


def _constant(node: ast.AST) -> Any:
    match node:
        case ast.Constant(value=int() as number) if number >= 2**63:
            return math.inf  # larger than what any column holds
        case ast.Constant(value=bool() | int() | float() | str()):
            return node.value
        case ast.Name(id=name) if name in BOOLEANS:
            return BOOLEANS[name]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float()) as number):
            return -_constant(number)
    raise _refused(node)


def _column(runs: pd.DataFrame, node: ast.AST) -> str:
    """The column that a name, or names with dots between, stand for."""
    inner = node
    while isinstance(inner, ast.Attribute):
        inner = inner.value
    if not isinstance(inner, ast.Name):
        raise _refused(node)
    return require_column(runs, ast.unparse(node), "--where")


def _is_text(value: Any) -> bool:
    if isinstance(value, pd.Series):
        return not is_numeric_dtype(value) and not is_bool_dtype(value)
    return isinstance(value, str)


def _is_empty(value: Any) -> bool:
    """Whether it is a column without a single value, whose type therefore says nothing."""
    return isinstance(value, pd.Series) and bool(value.isna().all())


def _filled(mask: pd.Series) -> pd.Series:
    return mask.astype("boolean").fillna(False).astype(bool)


def _refused(node: ast.AST) -> ConfigError:
    return ConfigError(f"--where: {ast.unparse(node)!r} is not allowed there; {ALLOWED}")
