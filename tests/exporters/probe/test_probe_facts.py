"""What JSON pages tell is asked for once in a while, and never gets in the way of a probe."""

import threading
import time

import pytest

from exporters.catalog import Engine, load_engine
from exporters.inference import AllowList, Prober
from exporters.inference.facts import CONFIG_SECONDS, MAX_BODY_BYTES, RETRY_SECONDS, VERSION_SECONDS, Facts, read
from tests.helpers.fake_engine import SATURATED, Answer, Clock, FakeEngine, json_page, page, samples

LENGTH = ("llm_max_model_length_tokens", (("engine", "vllm"), ("model", "tiny-llama")))
WELL, BADLY = 1.0, 0.0

TGI = b"tgi_queue_size 3\ntgi_batch_current_size 2\ntgi_request_count 40\n"
TGI_INFO = {"model_id": "org/model", "version": "3.3.7", "max_total_tokens": 4096}
SGLANG = b'sglang:num_running_reqs{model_name="m"} 1\n'


def version(prober: Prober, engine: FakeEngine) -> str:
    (labels,) = [labels for name, labels in samples(prober.probe(engine.netloc)) if name == "llm_engine_info"]
    return dict(labels)["version"]


def success(prober: Prober, engine: FakeEngine) -> dict[str, float]:
    found = samples(prober.probe(engine.netloc))
    return {dict(labels)["path"]: value for (name, labels), value in found.items() if name == "llm_scrape_page_success"}


def test_each_page_is_asked_for_at_its_own_interval(prober: Prober, engine: FakeEngine, clock: Clock) -> None:
    for _ in range(3):
        assert samples(prober.probe(engine.netloc))[LENGTH] == 2048
    assert (engine.asked.count("/version"), engine.asked.count("/v1/models")) == (1, 1)
    clock.ahead += CONFIG_SECONDS + 1
    prober.probe(engine.netloc)
    assert (engine.asked.count("/version"), engine.asked.count("/v1/models")) == (1, 2)
    clock.ahead += VERSION_SECONDS + 1
    prober.probe(engine.netloc)
    assert (engine.asked.count("/version"), engine.asked.count("/v1/models")) == (2, 3)


@pytest.mark.parametrize(
    "answer",
    [
        page(b"", status=503),
        page(b"not json", "application/json"),
        page(b"[" * 200_000, "application/json"),
        page(b'{"version":' + b"9" * 10_000 + b"}", "application/json"),
        page(b'{"version":"' + b"9" * MAX_BODY_BYTES + b'"}', "application/json"),
        page(b"\xff\xfe\x00", "application/json"),
        lambda handler: handler.connection.close(),
    ],
    ids=["refused", "no json", "nested", "a number of 10,000 digits", "too large", "no text", "cut off"],
)
def test_a_page_that_cannot_be_read_is_unknown_shown_and_asked_for_again_soon(
    prober: Prober, engine: FakeEngine, clock: Clock, answer: Answer
) -> None:
    engine.pages["/version"] = answer
    assert version(prober, engine) == ""
    assert success(prober, engine) == {"/version": BADLY, "/v1/models": WELL}
    assert engine.asked.count("/version") == 1
    clock.ahead += RETRY_SECONDS + 1
    engine.pages["/version"] = json_page({"version": "1"})
    assert version(prober, engine) == "1"
    assert success(prober, engine) == {"/version": WELL, "/v1/models": WELL}


@pytest.mark.parametrize(
    "told",
    [{"version": 3}, {"version": "a\nb"}, ["0.1"], {"version": "9" * 300}, {"version": ""}, {"version": None}, 7],
)
def test_what_is_not_as_expected_is_unknown(prober: Prober, engine: FakeEngine, told: object) -> None:
    engine.pages["/version"] = json_page(told)
    assert version(prober, engine) == ""


def test_what_a_page_said_holds_while_it_cannot_be_read_but_not_for_ever(
    prober: Prober, engine: FakeEngine, clock: Clock
) -> None:
    assert LENGTH in samples(prober.probe(engine.netloc))
    engine.pages["/v1/models"] = page(b"", status=500)
    clock.ahead += CONFIG_SECONDS + 1
    assert samples(prober.probe(engine.netloc))[LENGTH] == 2048
    clock.ahead += CONFIG_SECONDS
    assert LENGTH not in samples(prober.probe(engine.netloc))


def test_after_a_failure_everything_is_asked_for_again_and_unknown_until_it_is_told(
    prober: Prober, engine: FakeEngine
) -> None:
    prober.probe(engine.netloc)
    engine.pages["/metrics"] = page(b"", status=503)
    prober.probe(engine.netloc)
    engine.pages["/metrics"] = page(SATURATED)
    engine.pages["/version"] = json_page({"version": "0.33.0"})
    engine.pages["/v1/models"] = page(b"", status=500)
    assert version(prober, engine) == "0.33.0"
    assert LENGTH not in samples(prober.probe(engine.netloc))


def test_counters_that_fall_tell_a_restart_between_two_probes(prober: Prober, engine: FakeEngine) -> None:
    counter = 'vllm:generation_tokens_total{{model_name="m"}} {}\n'
    running = 'vllm:num_requests_running{model_name="m"} 1\n'
    for tokens in (100, 200, 200, 300):
        engine.pages["/metrics"] = page((running + counter.format(tokens)).encode())
        assert version(prober, engine) == "0.32.0"
    assert engine.asked.count("/version") == 1
    engine.pages["/version"] = json_page({"version": "0.33.0"})
    engine.pages["/metrics"] = page((running + counter.format(10)).encode())
    assert version(prober, engine) == "0.33.0"


def test_counters_that_vanish_tell_a_restart_too(prober: Prober, server: FakeEngine) -> None:
    server.pages |= {"/metrics": page(TGI + b"tgi_request_success 9\n"), "/info": json_page(TGI_INFO)}
    assert version(prober, server) == "3.3.7"
    server.pages |= {"/metrics": page(b""), "/info": json_page(TGI_INFO | {"version": "3.4.0"})}
    for _ in range(3):
        assert version(prober, server) == "3.4.0"
    assert server.asked.count("/info") == 2


def test_the_model_of_an_engine_whose_series_name_none_comes_from_its_page_and_outlives_a_failure(
    prober: Prober, server: FakeEngine
) -> None:
    server.pages |= {"/metrics": page(TGI), "/info": json_page(TGI_INFO)}
    waiting = "llm_requests_waiting", (("engine", "tgi"), ("model", "org/model"))
    found = samples(prober.probe(server.netloc))
    assert found[waiting] == 3
    assert found["llm_max_model_length_tokens", waiting[1]] == 4096
    assert found["llm_engine_info", (*waiting[1], ("version", "3.3.7"))] == 1
    server.pages["/metrics"] = page(b"", status=503)
    prober.probe(server.netloc)
    server.pages |= {"/metrics": page(TGI), "/info": page(b"", status=500)}
    found = samples(prober.probe(server.netloc))
    assert found[waiting] == 3  # the same series as before
    assert ("llm_max_model_length_tokens", waiting[1]) not in found


def test_the_path_that_earlier_releases_have_is_tried_where_the_new_one_is_missing(
    prober: Prober, server: FakeEngine
) -> None:
    told = {"version": "0.4.6", "max_running_requests": 32, "context_length": None}
    server.pages |= {"/metrics": page(SGLANG), "/get_server_info": json_page(told)}
    model = (("engine", "sglang"), ("model", "m"))
    found = samples(prober.probe(server.netloc))
    assert found["llm_max_running_requests", model] == 32
    assert ("llm_max_model_length_tokens", model) not in found
    assert server.asked == ["/metrics", "/server_info", "/get_server_info"]
    assert success(prober, server) == {"/server_info": WELL}


def test_a_page_that_is_nowhere_is_not_looked_for_at_every_probe(
    prober: Prober, server: FakeEngine, clock: Clock
) -> None:
    server.pages["/metrics"] = page(SGLANG)
    prober.probe(server.netloc)
    clock.ahead += RETRY_SECONDS + 1
    prober.probe(server.netloc)
    assert server.asked.count("/server_info") == 1
    clock.ahead += CONFIG_SECONDS
    prober.probe(server.netloc)
    assert server.asked.count("/server_info") == 2


def test_what_the_metrics_page_gives_is_taken_from_there(prober: Prober, server: FakeEngine) -> None:
    told = {"context_length": 1, "max_total_num_tokens": 2, "dp_size": 1}
    exposed = b'sglang:context_len{model_name="m"} 4096\n'
    server.pages |= {"/metrics": page(SGLANG + exposed), "/server_info": json_page(told)}
    found = samples(prober.probe(server.netloc))
    model = (("engine", "sglang"), ("model", "m"))
    assert found["llm_max_model_length_tokens", model] == 4096
    assert found["llm_kv_cache_capacity_tokens", model] == 2


def test_pages_that_hang_cost_their_share_of_the_time_and_fail_nothing(engine: FakeEngine) -> None:
    released = threading.Event()

    def hang(_: object) -> None:
        released.wait(5)

    engine.pages["/version"] = hang
    prober = Prober(AllowList.parse([engine.netloc]), timeout_seconds=1.2)
    start = time.monotonic()
    found = samples(prober.probe(engine.netloc))
    assert time.monotonic() - start < 1.2
    released.set()
    assert found["llm_up", (("engine", "vllm"),)] == 1
    assert found[LENGTH] == 2048  # the other page had its turn
    assert found["llm_scrape_page_success", (("path", "/version"),)] == BADLY


def test_several_models_share_what_is_told_of_the_server() -> None:
    (_, listed) = load_engine(Engine.TENSORRT_LLM).pages
    told = {"data": [{"id": "a"}, {"id": "b"}, {"id": "a"}, {"id": 3}, {}]}
    assert read(listed, told) == Facts(models=("a", "b"))


def test_a_number_is_the_first_product_of_which_every_factor_is_known() -> None:
    (info,) = load_engine(Engine.SGLANG).pages
    state = {"internal_states": [{"effective_max_running_requests_per_dp": 24}], "max_running_requests": 7}
    assert read(info, state | {"dp_size": 2}).numbers["llm_max_running_requests"] == 48
    assert read(info, state).numbers["llm_max_running_requests"] == 7
    conf = next(page for page in load_engine(Engine.LMCACHE).pages if page.path == "/conf")
    assert read(conf, {"max_local_cpu_size": 5.0}).numbers == {"llm_external_cache_capacity_bytes": 5 * 2**30}


def test_truth_values_are_texts_and_may_be_renamed() -> None:
    (info,) = load_engine(Engine.SGLANG).pages
    told = {"kv_cache_dtype": "auto", "quantization": None, "disable_radix_cache": True}
    assert read(info, told).texts == {"llm_config_info": {"kv_cache_dtype": "auto", "prefix_caching": "false"}}
    assert read(info, {}).texts == {}
