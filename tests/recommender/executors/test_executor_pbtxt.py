"""Triton's config.pbtxt: one field is changed, every other byte stays; what is unclear is refused."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.errors import ExecutorError
from recommender.executors.pbtxt_config import PbtxtConfig
from recommender.model import KnobValue

CONFIG = PbtxtConfig()
FILE = Path(__file__).parents[2] / "data" / "engine_files" / "config.pbtxt"
TEXT = FILE.read_bytes().decode()


def test_fields_lists_and_parameters_are_read() -> None:
    found = CONFIG.read(TEXT, "f")
    assert found["max_batch_size"] == 64
    assert found["model_transaction_policy.decoupled"] is True
    assert found["dynamic_batching.max_queue_delay_microseconds"] == 1000
    assert found["dynamic_batching.default_queue_policy.max_queue_size"] == 256
    assert found["dynamic_batching.preferred_batch_size"] == [32, 64]
    assert found["parameters.kv_cache_free_gpu_mem_fraction"] == "0.85"
    assert found["parameters.batch_scheduler_policy"] == "max_utilization"
    assert found["parameters.lora_cache_host_memory_bytes"] == ""
    assert found["input"] == [None, None]


@pytest.mark.parametrize(
    ("key", "value", "before", "after"),
    [
        ("max_batch_size", 128, "max_batch_size: 64", "max_batch_size: 128"),
        (
            "dynamic_batching.max_queue_delay_microseconds",
            100,
            "microseconds: 1000  # two",
            "microseconds: 100  # two",
        ),
        ("dynamic_batching.default_queue_policy.max_queue_size", 512, "max_queue_size: 256 }", "max_queue_size: 512 }"),
        (
            "parameters.kv_cache_free_gpu_mem_fraction",
            0.87,
            'string_value: "0.85" }  # the',
            'string_value: "0.87" }  # the',
        ),
        ("parameters.batch_scheduler_policy", "guaranteed_no_evict", "'max_utilization'", '"guaranteed_no_evict"'),
        ("dynamic_batching.preserve_ordering", True, "256 }\n}", "256 }\n  preserve_ordering: true\n}"),
        (
            "dynamic_batching.default_queue_policy.default_timeout_microseconds",
            5,
            "max_queue_size: 256 }",
            "max_queue_size: 256 default_timeout_microseconds: 5 }",
        ),
    ],
)
def test_one_place_changes(key: str, value: KnobValue, before: str, after: str) -> None:
    assert TEXT.count(before) == 1
    changed = CONFIG.with_value(TEXT, key, value, "f")
    assert changed == TEXT.replace(before, after)
    assert CONFIG.with_value(changed, key, value, "f") == changed


def test_a_parameter_that_is_taken_out_leaves_the_bytes_of_before() -> None:
    added = CONFIG.with_value(TEXT, "parameters.enable_chunked_context", True, "f")
    assert CONFIG.without(added, "parameters.enable_chunked_context", "f") == TEXT
    assert CONFIG.without(TEXT, "parameters.enable_chunked_context", "f") == TEXT


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("max_batch_size: 1\nmax_batch_size: 2\n", "max_batch_size", "cannot be set without touching"),
        ("max_batch_size: [ 1 ]\n", "max_batch_size", "cannot be set"),
        ('max_batch_size: "8"\n', "max_batch_size", "cannot be set"),
        ("", "dynamic_batching.max_queue_delay_microseconds", "without switching on what is around it"),
        ("instance_group [ {count: 1}, {count: 2} ]", "instance_group.count", "cannot be set"),
        (
            'parameters { key: "x" value { string_value: "1" } }\nparameters { key: "x" value { string_value: "2" } }',
            "parameters.x",
            "is there twice",
        ),
        ('parameters { key: "x" value { int64_value: 1 } }', "parameters.x", "cannot be set"),
        ('parameters { key: "x" value { string_value: "${x}" } }', "parameters.x", "a template"),
        ("max_batch_size: ${triton_max_batch_size}\n", "max_batch_size", "line 1 is no text of protocol buffers"),
        ("a: 1\nb { c: 2\n", "a", "line 3"),
        ("a: 1 }", "a", "line 1"),
        ("a 1", "a", "':' is missing"),
        ("[x]: 1", "a", "a field's name is expected"),
        ('a: "x\n"', "a", "line 1"),
        ("a {" * 40, "a", "more than 20 levels"),
        ("a: 1 " * 30_000, "b", "more than 50000 words"),
    ],
)
def test_what_is_unclear_is_refused_with_its_place(text: str, key: str, says: str) -> None:
    with pytest.raises(ExecutorError, match=re.escape(says)):
        CONFIG.with_value(text, key, 8, "config.pbtxt")


_NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda name: name not in {"t", "f", "true", "false"})
_GAPS = st.sampled_from([" ", "\n", '  # a { comment: "1" }\n', "\t", ";\n", ",\n"])
_SCALARS = st.one_of(
    st.integers(-(2**40), 2**40).map(str),
    st.floats(-1e6, 1e6, allow_nan=False).map(repr),
    st.sampled_from(["true", "false", "KIND_GPU", "0x1F", "017", "\"a\" 'b'", r'"\x41\u00e9\n"']),
    st.text(st.characters(codec="utf-8", exclude_characters='\n"\\'), max_size=8).map(lambda text: f'"{text}"'),
)
_VALUES = st.recursive(
    _SCALARS.map(lambda value: f": {value}"),
    lambda inner: st.one_of(
        st.lists(st.tuples(_NAMES, inner, _GAPS), max_size=3).map(
            lambda fields: "{ " + "".join(f"{name} {value}{gap}" for name, value, gap in fields) + " }"
        ),
        st.lists(_SCALARS, max_size=3).map(lambda values: f": [ {', '.join(values)} ]"),
    ),
    max_leaves=6,
)
_FILES = st.lists(st.tuples(_NAMES, _VALUES, _GAPS), max_size=6, unique_by=lambda field: field[0]).map(
    lambda fields: "".join(f"{name} {value}{gap}" for name, value, gap in fields)
)


@settings(max_examples=40, deadline=None)
@given(_FILES, st.one_of(st.booleans(), st.integers(0, 10**9), st.floats(0, 1)), st.text(max_size=12))
def test_any_file_takes_a_value_and_nothing_else_of_it_changes(text: str, value: KnobValue, word: str) -> None:
    before = CONFIG.read(text, "f")
    for key, wanted in (("max_batch_size_of_ours", value), ("parameters.of_ours", word)):
        after = CONFIG.with_value(text, key, wanted, "f")
        found = CONFIG.read(after, "f")
        assert found.pop(key) == (wanted if key.startswith("max") else str(wanted))
        assert found == before
        assert after.startswith(text)
        assert CONFIG.read(CONFIG.without(after, key, "f"), "f") == before


@given(st.text(max_size=60))
def test_text_of_any_kind_is_read_or_refused(text: str) -> None:
    try:
        before = CONFIG.read(text, "f")
        after = CONFIG.with_value(text, "max_batch_size", 8, "f")
    except ExecutorError:
        return
    assert CONFIG.read(after, "f") == {**before, "max_batch_size": 8}
