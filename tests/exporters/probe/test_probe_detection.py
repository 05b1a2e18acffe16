"""Which page of a server is read, and whose it is taken for."""

from pathlib import Path

import pytest

from exporters.catalog import Engine, ProbeFailure, load_engine
from exporters.inference import Prober
from exporters.inference.detection import Detection
from tests.helpers.fake_engine import SATURATED, TEXT, FakeEngine, failure, json_page, page, samples

CATALOGUES = {engine: load_engine(engine) for engine in Engine}
TRTLLM = b'trtllm_request_success_total{model_name="m",finished_reason="stop"} 4\n'
VLLM = b'vllm:num_requests_running{model_name="m"} 1\n'
LMCACHE = b'lmcache:num_requested_tokens_total{model_name="m",worker_id="0"} 8\n'
# Every captured page of an engine, under its folder's name or the engine's.
DATA = Path(__file__).parents[2] / "data"
FOLDERS = {"triton-trtllm": Engine.TRITON}
PAGES = {
    str(path.relative_to(DATA)): (path, FOLDERS.get(path.parent.name, path.parent.name))
    for path in sorted((DATA / "captures").glob("*/*.prom"))
    if FOLDERS.get(path.parent.name, path.parent.name) in list(Engine)
}
OLLAMA = {"models": [{"name": "llama3", "size": 100, "size_vram": 50, "expires_at": "2026-01-01T00:00:00Z"}]}


def up(prober: Prober, target: str, engine: str = "auto") -> str:
    (found,) = [labels for (name, labels), value in samples(prober.probe(target, engine)).items() if name == "llm_up"]
    return dict(found).get("engine", "")


@pytest.mark.parametrize("engine", [one for one in Engine if CATALOGUES[one].detect])
def test_every_series_that_tells_an_engine_tells_it_in_either_spelling(engine: Engine) -> None:
    detection = Detection(CATALOGUES)
    for name in CATALOGUES[engine].detect:
        for spelling in (name, name.replace(":", "_")):
            for rest in (" 1", '{a="b"} 1', "_total 1", '_bucket{le="1"} 1'):
                assert detection.engine("/metrics", f"# HELP x y\n{spelling}{rest}\n", None, None) is engine


def test_no_two_engines_are_told_by_the_same_series() -> None:
    names = [name for catalogue in CATALOGUES.values() for name in catalogue.detect]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("path", "engine"), PAGES.values(), ids=PAGES)
def test_every_captured_page_tells_its_engine(path: Path, engine: Engine) -> None:
    assert Detection(CATALOGUES).engine("/metrics", path.read_text(encoding="utf-8"), None, None) == engine


@pytest.mark.parametrize(
    ("text", "engine"),
    [
        (LMCACHE + VLLM, "vllm"),  # LMCache in vLLM's registry
        (b"dynamo_component_uptime_seconds 3\n" + VLLM + LMCACHE, "vllm"),  # a worker of Dynamo
        (b'dynamo_frontend_requests_total{model="m"} 1\n' + LMCACHE, "dynamo"),
        (LMCACHE, "lmcache"),
        (b"kvopt_hbm_utilization 0.5\n" + VLLM, "vllm"),
    ],
)
def test_an_engine_goes_before_what_stands_before_it_and_before_its_companions(
    prober: Prober, server: FakeEngine, text: bytes, engine: str
) -> None:
    server.pages["/metrics"] = page(text)
    assert up(prober, server.netloc) == engine


@pytest.mark.parametrize("text", [b"", b"up 1\n", b"# HELP vllm:num_requests_running x\n", b'x{a="vllm:"} 1\n'])
def test_another_exposition_is_of_no_known_engine(prober: Prober, server: FakeEngine, text: bytes) -> None:
    server.pages |= {"/metrics": page(text), "/api/ps": json_page(OLLAMA)}
    assert failure(prober.probe(server.netloc)) == ProbeFailure.UNKNOWN_ENGINE
    assert server.asked == ["/metrics"]


def test_a_page_that_is_json_or_missing_leads_to_the_pages_of_other_engines_once(
    prober: Prober, server: FakeEngine
) -> None:
    server.pages |= {"/metrics": json_page([]), "/prometheus/metrics": page(TRTLLM)}
    for _ in range(3):
        assert up(prober, server.netloc) == "tensorrt_llm"
    assert [path for path in server.asked if path.endswith("metrics")] == ["/metrics", *["/prometheus/metrics"] * 3]


def test_ollama_is_found_by_its_list_of_models(prober: Prober, server: FakeEngine) -> None:
    server.pages |= {"/api/ps": json_page(OLLAMA), "/api/version": json_page({"version": "0.33.0"})}
    found = samples(prober.probe(server.netloc))
    model = (("engine", "ollama"), ("model", "llama3"))
    assert found["llm_up", (("engine", "ollama"),)] == 1
    assert found["llm_model_memory_bytes", model] == 100
    assert found["llm_model_device_memory_bytes", model] == 50
    assert found["llm_engine_info", (*model, ("version", "0.33.0"))] == 1
    assert up(prober, server.netloc) == "ollama"
    assert server.asked.count("/api/ps") == 2
    assert server.asked.count("/metrics") == 1


def test_ollama_with_nothing_loaded_is_up(prober: Prober, server: FakeEngine) -> None:
    server.pages |= {"/api/ps": json_page({"models": []}), "/api/version": json_page({"version": "0.33.0"})}
    found = samples(prober.probe(server.netloc, "ollama"))
    assert found["llm_up", (("engine", "ollama"),)] == 1
    assert found["llm_engine_info", (("engine", "ollama"), ("model", ""), ("version", "0.33.0"))] == 1
    assert not [name for name, _ in found if name.startswith("llm_model")]
    assert server.asked == ["/api/ps", "/api/version"]


def test_models_without_a_name_or_named_twice_are_counted_and_the_others_answered(
    prober: Prober, server: FakeEngine
) -> None:
    listed = [{"name": "a", "size": 1}, {"name": "a", "size": 2}, {"size": 3}, 7, {"name": "b", "size": "4"}]
    server.pages["/api/ps"] = json_page({"models": listed})
    found = samples(prober.probe(server.netloc, "ollama"))
    assert found["llm_scrape_skipped_lines", ()] == 3
    assert {labels: value for (name, labels), value in found.items() if name == "llm_model_memory_bytes"} == {
        (("engine", "ollama"), ("model", "a")): 1
    }


@pytest.mark.parametrize("told", [{"error": "x"}, {"models": None}, {"models": {}}, [], 3])
def test_json_of_another_program_is_not_ollama(prober: Prober, server: FakeEngine, told: object) -> None:
    server.pages["/api/ps"] = json_page(told)
    assert failure(prober.probe(server.netloc, "ollama")) == ProbeFailure.CONTENT
    assert failure(prober.probe(server.netloc)) == ProbeFailure.HTTP_STATUS  # of /metrics, which was tried first


def test_an_engine_that_was_named_is_read_where_its_page_is(prober: Prober, server: FakeEngine) -> None:
    server.pages |= {"/metrics": page(VLLM), "/prometheus/metrics": page(TRTLLM)}
    assert up(prober, server.netloc, "tensorrt_llm") == "tensorrt_llm"
    assert up(prober, f"http://{server.netloc}/", "vllm") == "vllm"
    assert [path for path in server.asked if path.endswith("metrics")] == ["/prometheus/metrics", "/metrics"]


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("/metrics", ["/metrics", "/version", "/v1/models"]),
        ("/prometheus/metrics", ["/prometheus/metrics", "/version", "/v1/models"]),
        ("/chat/prometheus/metrics/", ["/chat/prometheus/metrics", "/chat/version", "/chat/v1/models"]),
    ],
)
def test_a_page_that_was_named_is_taken_as_it_is_and_the_others_are_beside_it(
    prober: Prober, server: FakeEngine, target: str, asked: list[str]
) -> None:
    server.pages[target.rstrip("/")] = page(TRTLLM)
    assert up(prober, server.netloc + target) == "tensorrt_llm"
    assert server.asked == asked
    assert up(prober, server.netloc + target, "tensorrt_llm") == "tensorrt_llm"


def test_a_path_that_ends_like_another_engines_page_is_below_a_base_where_the_engine_was_named(
    prober: Prober, server: FakeEngine
) -> None:
    server.pages["/prometheus/metrics"] = page(VLLM)
    assert up(prober, f"{server.netloc}/prometheus/metrics", "vllm") == "vllm"
    assert server.asked == ["/prometheus/metrics", "/prometheus/version", "/prometheus/v1/models"]


def test_a_page_that_was_named_and_is_missing_leads_nowhere_else(prober: Prober, server: FakeEngine) -> None:
    server.pages["/api/ps"] = json_page(OLLAMA)
    assert failure(prober.probe(f"{server.netloc}/metrics")) == ProbeFailure.HTTP_STATUS
    assert server.asked == ["/metrics"]


def test_a_server_that_fails_is_not_searched_for_other_pages(prober: Prober, server: FakeEngine) -> None:
    server.pages["/metrics"] = page(b"", status=503)
    assert failure(prober.probe(server.netloc)) == ProbeFailure.HTTP_STATUS
    assert server.asked == ["/metrics"]


def test_an_engine_that_took_the_place_of_another_is_found(prober: Prober, server: FakeEngine) -> None:
    server.pages["/api/ps"] = json_page(OLLAMA)
    assert up(prober, server.netloc) == "ollama"
    server.pages = {"/metrics": page(SATURATED)}
    assert up(prober, server.netloc) == "vllm"


# -- an engine that was named, on a page that does not look like it


@pytest.mark.parametrize("engine", [one for one in Engine if not CATALOGUES[one].models])
def test_a_page_with_nothing_of_the_named_engine_is_another_programs(
    prober: Prober, server: FakeEngine, engine: Engine
) -> None:
    server.pages[CATALOGUES[engine].metrics_path] = page(b"# TYPE up gauge\nup 1\nprocess_open_fds 3\n")
    assert failure(prober.probe(server.netloc, engine)) == ProbeFailure.WRONG_ENGINE


@pytest.mark.parametrize("text", [b"", b"# HELP tgi_queue_size x\n", b" \n\n"])
@pytest.mark.parametrize("engine", [one for one in Engine if not CATALOGUES[one].models])
def test_an_empty_page_is_that_of_an_engine_whose_series_appear_with_their_first_use_and_no_others(
    prober: Prober, server: FakeEngine, engine: Engine, text: bytes
) -> None:
    server.pages[CATALOGUES[engine].metrics_path] = page(text, TEXT)
    if CATALOGUES[engine].quiet:
        assert up(prober, server.netloc, engine) == engine
    else:
        assert failure(prober.probe(server.netloc, engine)) == ProbeFailure.WRONG_ENGINE


def test_a_series_that_only_this_engine_could_have_is_enough(prober: Prober, server: FakeEngine) -> None:
    server.pages["/metrics"] = page(b"tgi_request_validation_duration_count 1\n")
    assert up(prober, server.netloc, "tgi") == "tgi"
    assert failure(prober.probe(server.netloc, "vllm")) == ProbeFailure.WRONG_ENGINE


def test_an_engine_that_was_found_and_begins_anew_is_still_itself(prober: Prober, server: FakeEngine) -> None:
    server.pages["/metrics"] = page(b"tgi_queue_size 1\n")
    assert up(prober, server.netloc) == "tgi"
    server.pages["/metrics"] = page(b"")
    assert up(prober, server.netloc) == "tgi"
    server.pages["/metrics"] = page(b"up 1\n")
    assert failure(prober.probe(server.netloc)) == ProbeFailure.UNKNOWN_ENGINE


def test_an_empty_page_where_only_one_engine_has_its_page_is_that_engines(prober: Prober, server: FakeEngine) -> None:
    server.pages |= {"/metrics": json_page([]), "/prometheus/metrics": page(b"")}
    assert up(prober, server.netloc) == "tensorrt_llm"
