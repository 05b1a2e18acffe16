"""The engine catalogue is data that is checked when it is read."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporters.catalog import CatalogueError, Engine, load_engine, plain_number, spellings
from exporters.catalog.engines import ENGINES_DIR

VLLM = (ENGINES_DIR / "vllm.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("engine", Engine)
def test_every_engine_has_a_valid_file(engine: Engine) -> None:
    assert load_engine(engine).engine is engine


def test_every_file_belongs_to_an_engine() -> None:
    assert {path.stem for path in ENGINES_DIR.glob("*.yml")} == {engine.value for engine in Engine}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("llm_preemptions_total:", "llm_preemption_total:", "families.llm_preemption_total: no such family"),
        ("labels: {reason: reason}", "labels: {cause: reason}", "llm_requests_rejected_total: .* has no cause"),
        ("detect:", "detects:", "detects: "),
        ("engine: vllm", "engine: nonsense", "engine: "),
        (
            '["vllm:prompt_tokens_total"], reduce: sum',
            '["vllm:prompt_tokens_total"], reduce: max',
            "can only be summed",
        ),
        ('["vllm:prompt_tokens_total"], reduce: sum', "[], reduce: sum", "name at least one series"),
        (
            '["vllm:time_to_first_token_seconds"]',
            '[{name: "vllm:x", scale: 0.01}]',
            "the bounds of a histogram are scaled by 0.001",
        ),
        ("texts:\n  llm_config_info:", "texts:\n  llm_requests_running:", "does not belong here"),
        ("engine: vllm", "engine: [", "while parsing"),
    ],
)
def test_a_wrong_file_is_refused_naming_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in VLLM
    (tmp_path / "vllm.yml").write_text(VLLM.replace(old, new), encoding="utf-8")
    with pytest.raises(CatalogueError, match=message) as refused:
        load_engine(Engine.VLLM, tmp_path)
    assert str(tmp_path / "vllm.yml") in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"vllm\.yml"):
        load_engine(Engine.VLLM, tmp_path)


def test_a_family_has_one_origin(tmp_path: Path) -> None:
    data = yaml.safe_load(VLLM)
    data["families"]["llm_kv_cache_capacity_tokens"] = {"sources": ["x"], "reduce": "sum"}
    (tmp_path / "vllm.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(CatalogueError, match="has an entry in another part"):
        load_engine(Engine.VLLM, tmp_path)


def test_names_with_colons_are_also_taken_with_underscores() -> None:
    assert spellings("vllm:num_requests_running") == ("vllm:num_requests_running", "vllm_num_requests_running")
    assert spellings("tgi_queue_size") == ("tgi_queue_size",)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0.92", 0.92), ("3072", 3072.0), ("0", 0.0), ("1.0", 1.0), ("0.1234567", 0.123456), ("007", 7.0)],
)
def test_a_plain_decimal_in_a_label_is_a_number(text: str, number: float) -> None:
    assert plain_number(text) == number


@pytest.mark.parametrize("text", ["None", "", "True", "-1", "1e3", ".5", "5.", "1_000", "1234567890", "٣", "1 "])
def test_anything_else_in_a_label_is_unknown(text: str) -> None:
    assert plain_number(text) is None


@given(st.integers(0, 10**9 - 1), st.integers(0, 6), st.data())
def test_a_plain_decimal_has_the_value_that_python_reads(whole: int, places: int, data: st.DataObject) -> None:
    text = str(whole)
    if places:
        text += "." + "".join(data.draw(st.lists(st.sampled_from("0123456789"), min_size=places, max_size=places)))
    assert plain_number(text) == float(text)
