"""Nested YAML: one setting is changed or left out, every other byte stays."""

import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recommender.errors import ExecutorError
from recommender.executors.yaml_config import YamlConfig

NESTED = YamlConfig()
KEY = "kv_cache_config.free_gpu_memory_fraction"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "# ours\nkv_cache_config:  # KV\n  free_gpu_memory_fraction: 0.8  # low\n  dtype: fp8\nmax_batch_size: 8\n",
            "# ours\nkv_cache_config:  # KV\n  free_gpu_memory_fraction: 0.9  # low\n  dtype: fp8\nmax_batch_size: 8\n",
        ),
        (
            "kv_cache_config:\n    dtype: fp8  # why\n\n# batch\nmax_batch: 8\n",
            "kv_cache_config:\n    dtype: fp8  # why\n    free_gpu_memory_fraction: 0.9\n\n# batch\nmax_batch: 8\n",
        ),
        ("kv_cache_config:\n  dtype: fp8", "kv_cache_config:\n  dtype: fp8\n  free_gpu_memory_fraction: 0.9\n"),
        (
            "kv_cache_config:\r\n  dtype: fp8\r\n",
            "kv_cache_config:\r\n  dtype: fp8\r\n  free_gpu_memory_fraction: 0.9\r\n",
        ),
        ("kv_cache_config: {dtype: fp8}\n", "kv_cache_config: {free_gpu_memory_fraction: 0.9, dtype: fp8}\n"),
        ("kv_cache_config: {}\n", "kv_cache_config: {free_gpu_memory_fraction: 0.9}\n"),
        ("kv_cache_config:\n", "kv_cache_config: {free_gpu_memory_fraction: 0.9}\n"),
        ("kv_cache_config: null\n", "kv_cache_config: {free_gpu_memory_fraction: 0.9}\n"),
        (
            "kv_cache_config:\n  event:\n    - 1\n    - 2\n  # end\na: 1\n",
            "kv_cache_config:\n  free_gpu_memory_fraction: 0.9\n  event:\n    - 1\n    - 2\n  # end\na: 1\n",
        ),
        ("a: 1\n", "a: 1\nkv_cache_config:\n  free_gpu_memory_fraction: 0.9\n"),
        ("", "kv_cache_config:\n  free_gpu_memory_fraction: 0.9\n"),
        (
            "free_gpu_memory_fraction: 0.1\n",
            "free_gpu_memory_fraction: 0.1\nkv_cache_config:\n  free_gpu_memory_fraction: 0.9\n",
        ),
        ("kv_cache_config.free_gpu_memory_fraction: 0.1\n", "kv_cache_config.free_gpu_memory_fraction: 0.9\n"),
    ],
)
def test_only_the_value_below_its_level_changes(before: str, after: str) -> None:
    assert NESTED.with_value(before, KEY, 0.9, "engine.yml") == after
    assert NESTED.read(after, "engine.yml")[KEY] == 0.9
    assert NESTED.with_value(after, KEY, 0.9, "engine.yml") == after


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kv_cache_config: off\n", "cannot be set without touching the rest of the file; write it as a plain line"),
        ("kv_cache_config: [1]\n", "`free_gpu_memory_fraction: <value>` below `kv_cache_config`"),
        ("kv_cache_config: {free_gpu_memory_fraction: {a: 1}}\n", "cannot be set without"),
        ("a: &x {dtype: fp8}\nkv_cache_config: *x\n", "cannot be set without"),
        ("kv_cache_config:\n  dtype: fp8\n  dtype: auto\n", "`kv_cache_config.dtype` is there twice"),
        ("a: 1\na: 2\n", "`a` is there twice"),
        ("kv_cache_config: {dtype: fp8}\nkv_cache_config.dtype: auto\n", "`kv_cache_config.dtype` is there twice"),
        ("a: &a\n  b: *a\n", "more than 20 levels"),
    ],
)
def test_a_nested_file_that_cannot_be_changed_safely_is_refused(text: str, says: str) -> None:
    with pytest.raises(ExecutorError, match=r"engine\.yml") as refused:
        NESTED.with_value(text, KEY, 0.9, "engine.yml")
    assert says in str(refused.value)


def test_a_file_whose_aliases_make_it_huge_is_refused() -> None:
    text = "a: &a [x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} {{" + ", ".join(f"k{i}: *{chr(97 + n)}" for i in range(9)) + "}\n"
        for n in range(7)
    )
    with pytest.raises(ExecutorError, match="more than 10000 values"):
        NESTED.read(text, "engine.yml")


@pytest.mark.parametrize(
    ("before", "key", "after"),
    [
        ("a: 1\nb: 2 # two\nc: 3\n", "b", "a: 1\nc: 3\n"),
        ("a: 1\nb: 2", "b", "a: 1\n"),
        ("spec:\n  method: eagle\n  # why\n  n: 3\n\n# next\na: 1\n", "spec", "\n# next\na: 1\n"),
        ("spec:\n  method: eagle\n  n: 3\na: 1\n", "spec.n", "spec:\n  method: eagle\na: 1\n"),
        ("spec:\n  n: 3\na: 1\n", "spec.n", "spec:\na: 1\n"),
        ("spec: |\n  text\n  more\n\na: 1\n", "spec", "\na: 1\n"),
        ("spec: {n: 3}\na: 1\n", "spec", "a: 1\n"),
        ("a: 1\n", "spec", "a: 1\n"),
    ],
)
def test_a_key_is_left_out_with_all_below_it(before: str, key: str, after: str) -> None:
    assert NESTED.without(before, key, "engine.yml") == after


@pytest.mark.parametrize("text", ["{a: 1, spec: 2}\n", "spec: &x 1\nb: *x\n"])
def test_what_cannot_be_left_out_safely_is_refused(text: str) -> None:
    with pytest.raises(ExecutorError, match="remove it by hand"):
        NESTED.without(text, "spec", "engine.yml")


keys = st.text(string.ascii_lowercase + "_", min_size=1, max_size=5)
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
trees = st.dictionaries(
    keys, st.recursive(values, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6)
)


@given(
    trees, st.lists(keys, min_size=1, max_size=3), st.booleans() | st.integers() | st.text(max_size=9), st.booleans()
)
def test_any_nested_file_holds_exactly_the_new_value_or_is_refused(
    before: dict[str, object], levels: list[str], value: bool | int | str, flow: bool
) -> None:
    text, key = yaml.safe_dump(before, default_flow_style=flow), ".".join(levels)
    try:
        after = NESTED.with_value(text, key, value, "engine.yml")
    except ExecutorError:
        return
    told, was = NESTED.read(after, "x"), NESTED.read(text, "x")
    assert told.pop(key) == value
    was.pop(key, None)
    assert told == {name: one for name, one in was.items() if one is not None or not key.startswith(f"{name}.")}


@given(trees, st.lists(keys, min_size=1, max_size=3))
def test_any_nested_file_lacks_exactly_what_is_left_out_or_is_refused(
    before: dict[str, object], levels: list[str]
) -> None:
    text, key = yaml.safe_dump(before), ".".join(levels)
    try:
        after = NESTED.without(text, key, "engine.yml")
    except ExecutorError:
        return
    told, was = NESTED.read(after, "x"), NESTED.read(text, "x")
    assert not [name for name in told if name == key or name.startswith(f"{key}.")]
    kept = {name: one for name, one in was.items() if name != key and not name.startswith(f"{key}.")}
    assert {n: v for n, v in told.items() if v is not None} == {n: v for n, v in kept.items() if v is not None}
