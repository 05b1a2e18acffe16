"""Environment files of engines: one variable is changed, every other byte stays."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.errors import ExecutorError
from recommender.executors.env_config import EnvConfig

ENV = EnvConfig()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A=1\nOLLAMA_NUM_PARALLEL=1\n# end\n", "A=1\nOLLAMA_NUM_PARALLEL=4\n# end\n"),
        ("export OLLAMA_NUM_PARALLEL=1\n", "export OLLAMA_NUM_PARALLEL=4\n"),
        ("  OLLAMA_NUM_PARALLEL='1'  \nB=2", "  OLLAMA_NUM_PARALLEL='4'  \nB=2"),
        ('OLLAMA_NUM_PARALLEL="1"\r\nB=2\r\n', 'OLLAMA_NUM_PARALLEL="4"\r\nB=2\r\n'),
        ("OLLAMA_NUM_PARALLEL=\n", "OLLAMA_NUM_PARALLEL=4\n"),
        ("OLLAMA_NUM_PARALLEL=4\n", "OLLAMA_NUM_PARALLEL=4\n"),
        ("# OLLAMA_NUM_PARALLEL=1\n\n; old\n", "# OLLAMA_NUM_PARALLEL=1\n\n; old\nOLLAMA_NUM_PARALLEL=4\n"),
        ("A=1", "A=1\nOLLAMA_NUM_PARALLEL=4\n"),
        ("A=1\r\n", "A=1\r\nOLLAMA_NUM_PARALLEL=4\r\n"),
        ("", "OLLAMA_NUM_PARALLEL=4\n"),
        ("A='two words' # why\nB=größe\n", "A='two words' # why\nB=größe\nOLLAMA_NUM_PARALLEL=4\n"),
        (
            "XOLLAMA_NUM_PARALLEL=1\nOLLAMA_NUM_PARALLEL_X=2\n",
            "XOLLAMA_NUM_PARALLEL=1\nOLLAMA_NUM_PARALLEL_X=2\nOLLAMA_NUM_PARALLEL=4\n",
        ),
    ],
)
def test_only_the_line_of_the_variable_changes(before: str, after: str) -> None:
    assert ENV.with_value(before, "OLLAMA_NUM_PARALLEL", 4, "ollama.env") == after


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A=1\nA=2\n", "`A` is there twice"),
        ("OLLAMA_NUM_PARALLEL=1 # one\n", "line 1: what follows `OLLAMA_NUM_PARALLEL=` is not read alike"),
        ("OLLAMA_NUM_PARALLEL=$N\n", "is not read alike"),
        ("OLLAMA_NUM_PARALLEL='a\"b'\n", "is not read alike"),
        ("A=1\\\nB=2\n", "line 1: the value of `A` goes on over the end of its line"),
        ("A='one\ntwo'\n", "line 1: the value of `A` goes on"),
        ("set -a\n", "line 1 is neither `KEY=value` nor a comment"),
        ("A = 1\n", "line 1 is neither"),
        ("1A=1\n", "line 1 is neither"),
    ],
)
def test_an_environment_file_that_is_not_read_alike_everywhere_is_refused(text: str, says: str) -> None:
    with pytest.raises(ExecutorError, match=r"ollama\.env") as refused:
        ENV.with_value(text, "OLLAMA_NUM_PARALLEL", 4, "ollama.env")
    assert says in str(refused.value)


@pytest.mark.parametrize("value", ["a b", "$(x)", "'", "a\nB=1", "#", "`x`"])
def test_a_value_that_is_more_than_plain_characters_is_not_written(value: str) -> None:
    with pytest.raises(ExecutorError, match="write it by hand"):
        ENV.with_value("", "A", value, "ollama.env")


def test_what_stands_in_an_environment_file_is_text_and_what_is_not_plain_is_unknown() -> None:
    text = "export A=1\nB='two'\nC=\"x y\"\nD=$A\nE=a # b\n# F=1\nG=\n"
    assert ENV.read(text, "x") == {"A": "1", "B": "two", "C": "x y", "D": None, "E": None, "G": ""}
    assert ENV.without(text, "B", "x") == text.replace("B='two'\n", "")


def test_secrets_of_a_file_are_not_quoted_in_errors() -> None:
    for text in ("API_KEY=sk-secret\\\n", "API_KEY='sk-secret\n", "sk-secret\n"):
        with pytest.raises(ExecutorError) as refused:
            ENV.read(text, "x.env")
        assert "sk-secret" not in str(refused.value)


names = st.text(string.ascii_uppercase, min_size=1, max_size=6)
plain = st.text(string.ascii_letters + string.digits + ".,:/-", max_size=8)


@given(st.dictionaries(names, plain, max_size=6), names, plain, st.booleans())
def test_any_environment_file_holds_exactly_the_new_value(
    before: dict[str, str], key: str, value: str, exported: bool
) -> None:
    text = "".join(f"{'export ' if exported else ''}{name}={one}\n" for name, one in before.items())
    after = ENV.with_value(text, key, value, "x.env")
    assert ENV.read(after, "x.env") == before | {key: value}


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_and_never_changed_elsewhere(text: str) -> None:
    try:
        before = ENV.read(text, "x.env")
        after = ENV.with_value(text, "A", "1", "x.env")
    except ExecutorError:
        return
    assert ENV.read(after, "x.env") == before | {"A": "1"}
