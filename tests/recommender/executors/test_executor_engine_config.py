"""One key of a YAML file is changed, every other byte stays."""

import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recommender.errors import ExecutorError
from recommender.executors.engine_config import same, scalars, settings, with_value


def changed(text: str, key: str = "max-num-seqs", value: object = 16) -> str:
    return with_value(text, key, value, "engine.yml")  # type: ignore[arg-type] - any knob value


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("max-num-seqs: 8\n", "max-num-seqs: 16\n"),
        (
            "# why\na: 1\nmax-num-seqs:   8   # far too low\nb: 2",
            "# why\na: 1\nmax-num-seqs:   16   # far too low\nb: 2",
        ),
        ("max_num_seqs: 8\n", "max_num_seqs: 16\n"),
        ("'max-num-seqs': '8'\n", "'max-num-seqs': 16\n"),
        ("max-num-seqs:\nb: 2\n", "max-num-seqs: 16\nb: 2\n"),
        ("{a: 1, max-num-seqs: 8}\n", "{a: 1, max-num-seqs: 16}\n"),
        ("nested:\n  max-num-seqs: 8\nmax-num-seqs: 8\n", "nested:\n  max-num-seqs: 8\nmax-num-seqs: 16\n"),
        ("a: 1\n", "a: 1\nmax-num-seqs: 16\n"),
        ("a: 1", "a: 1\nmax-num-seqs: 16\n"),
        ("a: 1\r\n", "a: 1\r\nmax-num-seqs: 16\r\n"),
        ("a: 1\r\nmax-num-seqs: 8\r\n", "a: 1\r\nmax-num-seqs: 16\r\n"),
        ("", "max-num-seqs: 16\n"),
        ("# only a comment\n", "# only a comment\nmax-num-seqs: 16\n"),
        ("---\nmax-num-seqs: 8\n", "---\nmax-num-seqs: 16\n"),
        ("max-num-seqs: 16  # already\n", "max-num-seqs: 16  # already\n"),
        ("modell: größe\nmax-num-seqs: 8\n", "modell: größe\nmax-num-seqs: 16\n"),
    ],
)
def test_only_the_value_of_the_key_changes(before: str, after: str) -> None:
    assert changed(before) == after


@pytest.mark.parametrize(
    ("value", "written"),
    [(True, "true"), (False, "false"), (0.92, "0.92"), (1e-05, "1.0e-05"), ("fp8", "fp8"), ("yes", "'yes'"), (3, "3")],
)
def test_every_kind_of_value_reads_back_as_itself(value: object, written: str) -> None:
    text = changed("knob: old # kept\n", "knob", value)
    assert text == f"knob: {written} # kept\n"
    assert yaml.safe_load(text) == {"knob": value}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n- b\n", "holds a list, not options"),
        ("just text\n", "holds a str"),
        ("a: [1\n", "is not valid YAML"),
        ("a: 1\n---\nb: 2\n", "is not valid YAML"),
        ("a: 2024-13-99\n", "is not valid YAML"),
        ("a: !!python/object/apply:os.system [true]\n", "is not valid YAML"),
        ("max-num-seqs: 8\nmax_num_seqs: 9\n", "`max-num-seqs` is there twice"),
        ("a: &low 8\nmax-num-seqs: *low\n", "cannot be set without touching the rest"),
        ("max-num-seqs: &low 8\nb: *low\n", "cannot be set without touching the rest"),
    ],
)
def test_a_file_that_cannot_be_changed_safely_is_refused(text: str, says: str) -> None:
    with pytest.raises(ExecutorError, match=r"engine\.yml") as refused:
        changed(text)
    assert says in str(refused.value)


@pytest.mark.parametrize("text", ['api-key: "sk-secret\nport: 1\n', "api-key: [sk-secret\n", "api-key: @sk-secret\n"])
def test_what_is_wrong_with_a_file_is_said_without_quoting_it(text: str) -> None:
    """The message is shown to readers of the API, the file may hold the engine's key."""
    with pytest.raises(ExecutorError, match=r"engine\.yml, line \d is not valid YAML") as refused:
        settings(text, "engine.yml")
    assert "sk-secret" not in str(refused.value)
    assert refused.value.__suppress_context__


keys = st.text(string.ascii_lowercase + "-", min_size=1, max_size=12).filter(lambda key: key.strip("-") == key)
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
files = st.dictionaries(keys, values | st.lists(values, max_size=3) | st.dictionaries(keys, values, max_size=3))


@given(
    files, keys, st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
)
def test_any_file_holds_exactly_the_new_value_or_is_refused(
    before: dict[str, object], key: str, value: bool | float | str
) -> None:
    text = yaml.safe_dump(before)
    try:
        after = changed(text, key, value)
    except ExecutorError:
        return
    expected = {**settings(text, "engine.yml"), key: value}
    assert settings(after, "engine.yml") == expected


def test_true_is_not_one_and_eight_is_eight_point_zero() -> None:
    assert same(8, 8.0)
    assert not same(True, 1)
    assert not same(1, True)


def test_settings_are_spelled_with_dashes_and_only_scalars_are_knob_values() -> None:
    found = settings("max_num_seqs: 8\nlist: [1]\nempty:\n", "engine.yml")
    assert found == {"max-num-seqs": 8, "list": [1], "empty": None}
    assert scalars(found) == {"max-num-seqs": 8}
