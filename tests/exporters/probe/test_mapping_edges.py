"""What is missing on an engine's page: a term, a rank, a reason, a model. Unknown stays unknown, the rest is given."""

import pytest

from exporters.catalog import Engine, load_engine
from exporters.exposition import Reader
from exporters.inference.mapping import Mapper, named


def figures(engine: Engine, family: str, text: str) -> dict[str, float]:
    """Model -> value of a family without labels of its own."""
    mapper = Mapper(load_engine(engine))
    reading = Reader(mapper.wanted).read(text)
    assert reading.skipped == 0
    return {
        dict(sample.labels)["model"]: sample.value
        for found, samples in mapper.families(reading)
        for sample in samples
        if found.name == family
    }


def sglang(name: str, dp: int, value: float, model: str = "m") -> str:
    return f'sglang:{name}{{model_name="{model}",tp_rank="0",dp_rank="{dp}"}} {value}\n'


@pytest.mark.parametrize("rewritten", [False, True])
@pytest.mark.parametrize(
    ("engine", "family", "text", "expected"),
    [
        pytest.param(
            Engine.TGI, "llm_requests_total", 'tgi_request_failure{err="validation"} 3\n', {"": 3},
            id="an engine of which every request fails has finished them",
        ),
        pytest.param(
            Engine.TENSORRT_LLM, "llm_requests_total", 'trtllm_request_error_total{model_name="m",http_code="500"} 2\n',
            {"m": 2}, id="another such",
        ),
        pytest.param(
            Engine.TENSORRT_LLM, "llm_request_errors_total",
            'trtllm_request_error_total{model_name="m",http_code="400"} 2\n', {},
            id="what the caller got wrong is no error of the engine",
        ),
        pytest.param(
            Engine.TRITON, "llm_request_errors_total", 'nv_inference_request_failure{model="m",version="1"} 4\n',
            {"m": 4}, id="a failure without a reason is an error",
        ),
        pytest.param(
            Engine.TGI, "llm_kv_cache_usage_ratio", "tgi_batch_current_max_tokens 5\ntgi_batch_max_total_tokens 0\n",
            {}, id="nothing is divided by zero",
        ),
        pytest.param(
            Engine.TGI, "llm_kv_cache_usage_ratio", "tgi_batch_current_max_tokens 5\n", {},
            id="nothing is divided by what is not there",
        ),
        pytest.param(
            Engine.SGLANG, "llm_kv_cache_usage_ratio", sglang("kv_used_tokens", 0, 5) + sglang("token_usage", 0, 0.5),
            {"m": 0.5}, id="a source whose divisor is missing gives way to the next",
        ),
        pytest.param(
            Engine.SGLANG, "llm_kv_cache_usage_ratio",
            sglang("kv_used_tokens", 0, 9) + sglang("kv_used_tokens", 1, 2) + sglang("max_total_num_tokens", 1, 10),
            {"m": 0.2}, id="a rank without a divisor gives nothing",
        ),
        pytest.param(
            Engine.SGLANG, "llm_requests_waiting",
            sglang("num_queue_reqs", 0, 1) + sglang("num_grammar_queue_reqs", 1, 2)
            + sglang("num_grammar_queue_reqs", 0, 4, model="n"),
            {"m": 3, "n": 4}, id="what only an addend has counts",
        ),
        pytest.param(
            Engine.TENSORRT_LLM, "llm_kv_cache_capacity_tokens",
            'trtllm:kv_cache_max_blocks{model_name="a"} 10\ntrtllm:kv_cache_max_blocks{model_name="b"} 10\n'
            'trtllm:kv_cache_tokens_per_block{model_name="a"} 16\n',
            {"a": 160}, id="a model without a factor gives nothing",
        ),
        pytest.param(
            Engine.LMCACHE, "llm_external_cache_query_tokens_total", "lmcache_mp_lookup_requested_tokens_total 7\n",
            {"": 7}, id="a face that names no model",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_not_made_up(
    engine: Engine, family: str, text: str, expected: dict[str, float], *, rewritten: bool
) -> None:
    assert figures(engine, family, text.replace(":", "_") if rewritten else text) == pytest.approx(expected)


def test_spellings_are_not_mixed_within_a_source() -> None:
    text = sglang("kv_used_tokens", 0, 5) + sglang("max_total_num_tokens", 0, 10).replace(":", "_")
    assert figures(Engine.SGLANG, "llm_kv_cache_usage_ratio", text) == {}


def test_a_model_is_named_only_where_the_engine_did_not() -> None:
    mapper = Mapper(load_engine(Engine.LMCACHE))
    text = 'lmcache:num_hit_tokens_total{model_name="m"} 1\nlmcache:num_hit_tokens_total{model_name=""} 2\n'
    families = named(mapper.families(Reader(mapper.wanted).read(text)), "given")
    assert {dict(sample.labels)["model"]: sample.value for _, samples in families for sample in samples} == {
        "m": 1,
        "given": 2,
    }


def test_a_family_that_has_the_model_already_keeps_what_is_unnamed_apart() -> None:
    mapper = Mapper(load_engine(Engine.LMCACHE))
    text = 'lmcache:num_hit_tokens_total{model_name="m"} 1\nlmcache:num_hit_tokens_total{model_name=""} 2\n'
    families = list(mapper.families(Reader(mapper.wanted).read(text)))
    assert list(named(families, "m")) == families
