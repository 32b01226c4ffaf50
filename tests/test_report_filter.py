import math
import re

import pandas as pd
import pytest
from conftest import cases
from hypothesis import given
from hypothesis import strategies as st

from cifar_arch.report.filter import closest, filter_runs, require_column
from cifar_arch.schema import ConfigError

RUNS = pd.DataFrame(
    {
        "folder": ["a", "b", "c"],
        "params": pd.array([100, 200, None], dtype="Int64"),
        "accuracy": [0.5, 0.9, math.nan],
        "training.lr": [0.1, 0.2, 0.3],
        "t1": pd.array(["strided", "dilated", None], dtype="str"),
        "model.stem": pd.array([None, None, None], dtype="str"),  # as a column without a value is read
        "reaches_target": pd.array([False, True, None], dtype="boolean"),
    }
)

KEPT = {
    "params < 150": "a",
    "params <= 1_00": "a",
    "200 == params": "b",
    "100 < params <= 200": "b",
    "params != 100": "b",  # a missing value is neither equal nor unequal
    "not params < 150": "bc",
    "t1 == 'dilated' or params < 150": "ab",
    "(t1 == 'dilated' or params < 150) and accuracy > 0.6": "b",
    "t1 in ['strided', 'mixed']": "a",
    "t1 not in ('strided',)": "b",
    "training.lr >= 0.2": "bc",
    "accuracy > training.lr": "ab",
    "accuracy > -1": "ab",
    "reaches_target": "b",
    "reaches_target == True": "b",
    "reaches_target == true": "b",
    "reaches_target in [true]": "b",
    "params < 0": "",
    "reaches_target == 9223372036854775808": "",  # the smallest that no column holds
    "t1 != folder": "ab",  # columns both
    "model.stem < 1": "",
    "model.stem != 1": "abc",  # null, as it is in each config
    "model.stem == 'no'": "",
}


@pytest.mark.parametrize(("condition", "kept"), KEPT.items())
def test_the_runs_that_meet_the_condition_stay(condition: str, kept: str) -> None:
    assert "".join(filter_runs(RUNS, condition)["folder"]) == kept


REFUSED = {
    "param < 3": "no column 'param'; did you mean 'params'?",
    "lr < 3": "no column 'lr'; did you mean 'training.lr'?",
    "training.rl < 3": "did you mean 'training.lr'?",
    "zzz < 3": "no column 'zzz'; there are folder, params, accuracy",
    "t1 == dilated": "no column 'dilated'; put text in quotes: t1 == 'dilated'",
    "dilated != t1": "no column 'dilated'; put text in quotes: t1 == 'dilated'",
    "t1 in [3]": "t1 holds text and cannot be compared with 3",
    "params in [3, '3']": "params holds numbers and cannot be compared with '3'",
    "t1 < 3": "t1 holds text and cannot be compared with 3",
    "params == 'many'": "params holds numbers and cannot be compared with 'many'",
    "params <": "'params <' cannot be read; allowed are comparisons of columns",
    "c4 = 'plain'": "t1 == 'dilated'\"; == compares",
    "": "'' cannot be read",
    "params": "'params' is not allowed there; allowed are comparisons",
    "1 < 2": "'1' is not allowed there",
    "true == 'x'": "'true' is not allowed there",
    "true == false": "'true' is not allowed there",
    "params + 1 < 3": "'params + 1' is not allowed there",
    "params is 3": "'params' is not allowed there",
    "params in t1": "'t1' is not allowed there",
    "__import__('os').system('true')": "is not allowed there",
    "len(t1) < 3": "'len(t1)' is not allowed there",
    "params.__class__ == 3": "no column 'params.__class__'",
    "().__class__ == 3": "'().__class__' is not allowed there",
    "t1[0] == 'd'": "is not allowed there",
    "params < (lambda: 3)": "is not allowed there",
    "params < 3 if True else False": "is not allowed there",
    "[x for x in params] == 3": "is not allowed there",
    "f'{params}' == 3": "is not allowed there",
    "(x := 3) < params": "is not allowed there",
    "params < 3; params": "cannot be read",
    "not " * 5000 + "reaches_target": "--where: ",
    "not " * 1500 + "reaches_target": "--where: too deeply nested; ",
}


@pytest.mark.parametrize(("condition", "message"), REFUSED.items(), ids=[c[:30] for c in REFUSED])
def test_anything_else_is_refused_in_a_sentence(condition: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        filter_runs(RUNS, condition)
    assert str(error.value).startswith("--where: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_column_to_sort_by_is_named_too() -> None:
    assert require_column(RUNS, "params", "--sort") == "params"
    with pytest.raises(ConfigError, match=r"^--sort: no column 'acuracy'; did you mean 'accuracy'\?$"):
        require_column(RUNS, "acuracy", "--sort")


CLIP = pd.DataFrame(
    {
        "folder": ["null", "one", "half", "unknown"],
        "training.clip": [math.nan, 1.0, 0.5, math.nan],
        "training.lr": [0.1, 0.1, 0.1, math.nan],  # the last is a folder whose config cannot be read
        "model.t1.kind": ["custom", "dilated", "strided", None],
        "model.t1.residual": pd.array([True, None, None, None], dtype="boolean"),
    }
)
NULLS = {
    "training.clip != 1": ["null", "half"],
    "training.clip == 1": ["one"],
    "training.clip < 1": ["half"],
    "training.clip == null": ["null"],
    "training.clip != null": ["one", "half"],
    "null == training.clip": ["null"],
    "training.clip not in [1]": ["null", "half"],
    "training.clip in [1, 0.5]": ["one", "half"],
    "not training.clip == null": ["one", "half", "unknown"],
    "model.t1.residual == null": [],  # a dilated downsampler has none, a dilated block has one
}


@pytest.mark.parametrize(("condition", "kept"), NULLS.items())
def test_null_is_a_value_of_a_setting(condition: str, kept: list[str]) -> None:
    assert filter_runs(CLIP, condition)["folder"].tolist() == kept


def test_null_is_compared_with_a_column_alone() -> None:
    for condition in ("null == null", "null == 1", "training.clip < null"):
        with pytest.raises(ConfigError, match=r"^--where: 'null' is not allowed there; "):
            filter_runs(CLIP, condition)


def test_the_headings_of_the_tables_are_known() -> None:
    names = ["folder", "data.validation", "val_accuracy", "receptive_field"]
    assert closest("validation", names) == "did you mean 'data.validation' or 'val_accuracy'?"
    assert closest("field", names) == "did you mean 'receptive_field'?"


WORDS = (
    "< <= == != > >= in not and or is ( ) [ ] , 1 0.5 -1 1e400 1j 'strided' null False None lr . + if else"
)
WORDS += " lambda: b'x' f'{t1}' ... := ; #"
OPERANDS = [*RUNS.columns, "true", "1", "-0.5", "9" * 30, "'strided'", "[1, 'x']", "null"]
ANY_OPERAND, OPERATORS = st.sampled_from(OPERANDS), st.sampled_from(["<", "==", "!=", ">=", "in", "not in"])
COMPARISONS = st.tuples(ANY_OPERAND, OPERATORS, ANY_OPERAND).map(" ".join)
ANY_WORD = st.sampled_from([*WORDS.split(), *OPERANDS, "\n"]) | st.text(max_size=4)
CONDITIONS = (
    st.text(max_size=30)
    | st.lists(ANY_WORD, max_size=12).map(" ".join)
    | st.lists(COMPARISONS, min_size=1, max_size=4).map(" or not ".join)
)


@cases(300)
@given(CONDITIONS)
def test_whatever_is_typed_some_of_the_runs_stay_or_a_sentence_says_why_not(condition: str) -> None:
    kept, said = [], "--where: none"
    try:
        kept = filter_runs(RUNS, condition)["folder"].tolist()
    except ConfigError as error:
        said = str(error)
    assert kept == sorted(set(kept) & {"a", "b", "c"})
    assert re.fullmatch(r"--where: .*\w.*", said)
