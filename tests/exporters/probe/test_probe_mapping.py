"""vLLM's series, of every version, become the canonical families.

Older versions are SYNTHETIC: see `tests/helpers/vllm_versions.py`.
"""

import math
import re
from pathlib import Path

import pytest

from exporters.catalog import INFERENCE_FAMILIES, Engine, Kind, load_engine
from exporters.exposition import Labels, Reader
from exporters.inference.mapping import Mapper
from tests.helpers.vllm_versions import ABSENT, OLDER, two_ranks

CAPTURES = Path(__file__).parents[2] / "data" / "captures" / "vllm"
MODEL = (("engine", "vllm"), ("model", "tiny-llama"))

Canonical = dict[tuple[str, Labels], float]


@pytest.fixture(scope="module")
def mapper() -> Mapper:
    return Mapper(load_engine(Engine.VLLM))


def capture(name: str) -> str:
    return (CAPTURES / f"{name}.prom").read_text(encoding="utf-8")


def mapped(mapper: Mapper, text: str) -> Canonical:
    reading = Reader(mapper.wanted).read(text)
    assert reading.skipped == 0
    return {
        (family.name + sample.suffix, sample.labels): sample.value
        for family, samples in mapper.families(reading)
        for sample in samples
    }


def family_of(series: str) -> str:
    name = re.sub(r"_(bucket|sum|count)$", "", series)
    return (
        name if INFERENCE_FAMILIES.get(name, INFERENCE_FAMILIES["llm_engine_awake"]).kind is Kind.HISTOGRAM else series
    )


@pytest.mark.parametrize("state", ["idle", "saturated", "kv_pressure", "prefix_hits"])
@pytest.mark.parametrize("version", OLDER)
def test_an_older_version_gives_what_0_32_gives_less_what_it_lacks(mapper: Mapper, version: str, state: str) -> None:
    text = capture(f"{state}.2")
    old = OLDER[version](text)
    assert old != text
    expected = {
        key: value for key, value in mapped(mapper, text).items() if family_of(key[0]) not in ABSENT.get(version, set())
    }
    if version == "0.6.6":  # it knows no error and no repetition
        finished = [key for key in expected if key[0] == "llm_requests_total"]
        for key in finished:
            if dict(key[1])["finish_reason"] in ("error", "repetition"):
                del expected[key]
    assert mapped(mapper, old) == expected


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.prom")), ids=lambda path: path.stem)
def test_every_capture_gives_every_family_that_the_catalogue_promises(mapper: Mapper, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    catalogue = mapper.catalogue
    promised = {*catalogue.families, *catalogue.numbers, *catalogue.texts}
    off = {"llm_spec_draft_tokens_total", "llm_spec_accepted_tokens_total"}  # speculation, and LMCache's own series
    off |= {name for name, one in catalogue.families.items() if one.sources[0].name.startswith("lmcache:")}
    assert {family_of(name) for name, _ in mapped(mapper, text)} == promised - off


def test_the_values_of_a_capture_are_those_of_the_engine(mapper: Mapper) -> None:
    found = mapped(mapper, capture("kv_pressure.2"))
    assert found["llm_requests_running", MODEL] == 5
    assert found["llm_requests_waiting", MODEL] == 27
    assert found["llm_kv_cache_usage_ratio", MODEL] == 0.9565217391304348
    assert found["llm_kv_cache_capacity_tokens", MODEL] == 3072
    assert found["llm_kv_cache_memory_fraction", MODEL] == 0.92
    assert found["llm_engine_awake", MODEL] == 1
    assert found["llm_preemptions_total", MODEL] == 412
    assert found["llm_requests_total", (*MODEL, ("finish_reason", "length"))] == 134
    assert found["llm_request_errors_total", MODEL] == 0
    assert found["llm_requests_rejected_total", (*MODEL, ("reason", "max_num_queued_reqs"))] == 0
    assert found["llm_time_to_first_token_seconds_sum", MODEL] == 862.973596572876
    assert found["llm_time_to_first_token_seconds_bucket", (*MODEL, ("le", "+Inf"))] == 145
    assert (
        found["llm_config_info", (*MODEL, ("kv_cache_dtype", "auto"), ("prefix_caching", "true"), ("quantization", ""))]
        == 1
    )


def test_data_parallel_ranks_are_added_up_and_a_full_one_shows(mapper: Mapper) -> None:
    first = capture("kv_pressure")
    one, two = mapped(mapper, first), mapped(mapper, two_ranks(first))
    assert two.keys() == one.keys()
    same = ("llm_kv_cache_usage_ratio", "llm_engine_awake", "llm_kv_cache_memory_fraction", "llm_config_info")
    for key, value in one.items():
        assert two[key] == pytest.approx(value if key[0] in same else 2 * value, rel=1e-12), key


def test_what_the_engine_does_not_say_is_absent_not_zero(mapper: Mapper) -> None:
    found = mapped(
        mapper,
        'vllm:num_requests_running{model_name="m"} 0\n'
        'vllm:cache_config_info{num_gpu_blocks="None",block_size="16",gpu_memory_utilization="x"} 1\n'
        'vllm:request_success_total{finished_reason="stop",model_name="m"} 3\n',
    )
    model = (("engine", "vllm"), ("model", "m"))
    assert found == {
        ("llm_requests_running", model): 0,
        ("llm_requests_total", (*model, ("finish_reason", "stop"))): 3,
        ("llm_config_info", (*model, ("kv_cache_dtype", ""), ("prefix_caching", ""), ("quantization", ""))): 1,
    }


def test_configuration_belongs_to_every_model_and_to_none_where_none_is_named(mapper: Mapper) -> None:
    info = 'vllm:cache_config_info{num_gpu_blocks="24",block_size="128"} 1\n'
    running = 'vllm:num_requests_running{model_name="a"} 0\nvllm:num_requests_running{model_name="b"} 0\n'
    assert mapped(mapper, info) == {}
    found = mapped(mapper, info + running)
    assert {key[1][1][1]: v for key, v in found.items() if key[0] == "llm_kv_cache_capacity_tokens"} == {
        "a": 3072,
        "b": 3072,
    }


def test_not_a_number_is_handed_on_and_max_passes_it_over(mapper: Mapper) -> None:
    found = mapped(
        mapper,
        'vllm:num_requests_running{engine="0",model_name="m"} NaN\n'
        'vllm:kv_cache_usage_perc{engine="0",model_name="m"} NaN\n'
        'vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5\n'
        'vllm:kv_cache_usage_perc{engine="2",model_name="m"} NaN\n',
    )
    model = (("engine", "vllm"), ("model", "m"))
    assert math.isnan(found["llm_requests_running", model])
    assert found["llm_kv_cache_usage_ratio", model] == 0.5
