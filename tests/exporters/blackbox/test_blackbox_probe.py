"""A black-box probe that goes well, against real servers: what is asked, and what is measured."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporters import __version__
from exporters.blackbox.models import REMEMBER_SECONDS
from exporters.catalog import BlackboxFailure
from tests.exporters.blackbox.asking import Make, failure, probe, samples
from tests.exporters.blackbox.conftest import Clock
from tests.exporters.blackbox.endpoint import (
    CHAT,
    COMPLETIONS,
    DONE,
    GOOD,
    ROLE,
    Endpoint,
    chat,
    models,
    page,
    stream,
    usage,
)


def test_a_good_answer_is_measured(make: Make, endpoint: Endpoint) -> None:
    found = samples(probe(make(), endpoint))

    assert found["llm_probe_success"] == 1
    assert found["llm_probe_generated_tokens"] == 4
    assert found["llm_probe_http_status_code"] == 200
    assert found["llm_probe_response_bytes"] == len(b"".join(GOOD))
    assert found["llm_probe_info completion chat tiny"] == 1
    assert 0 < found["llm_probe_time_to_first_token_seconds"] < found["llm_probe_duration_seconds"] < 20
    phases = [name.split()[1] for name in found if name.startswith("llm_probe_phase_duration_seconds")]
    assert phases == ["model", "resolve", "connect", "head", "stream"]
    spent = sum(value for name, value in found.items() if name.startswith("llm_probe_phase_duration_seconds"))
    assert spent == pytest.approx(found["llm_probe_duration_seconds"], abs=0.5)
    assert not [name for name in found if name.startswith("llm_probe_failure_info")]


def test_first_token_and_gaps_are_seen_as_the_pieces_come(make: Make, endpoint: Endpoint) -> None:
    pause = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield ROLE
        for text, seconds in (("a", 0.06), ("b", 0.02), ("c", 0.1)):
            pause.wait(seconds)
            yield chat(text)
        yield chat(None, "stop") + DONE

    endpoint.replies[CHAT] = stream(slowly())
    found = samples(probe(make(), endpoint))

    first, mean = found["llm_probe_time_to_first_token_seconds"], found["llm_probe_inter_token_latency_seconds"]
    assert 0.06 <= first < 10
    # A piece that a busy machine delivers late shortens the gap after it; test_blackbox_parts measures by a fake clock.
    assert 0 < mean <= found["llm_probe_inter_token_latency_max_seconds"] <= 2 * mean
    assert first + 2 * mean <= found["llm_probe_duration_seconds"] + 1e-9
    assert found["llm_probe_generated_tokens"] == 3


def test_a_probe_says_that_it_is_one_and_asks_for_little(make: Make, endpoint: Endpoint) -> None:
    probe(make(max_tokens=3, prompt="Say hello"), endpoint)
    [asked] = endpoint.posts()

    assert asked.path == CHAT
    assert asked.headers["User-Agent"] == f"optiinfra-blackbox/{__version__}"
    assert asked.headers["X-OptiInfra-Probe"] == "1"
    assert asked.headers["Accept-Encoding"] == "identity"
    assert asked.body == {
        "model": "tiny",
        "max_tokens": 3,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "[n0nce] Say hello"}],
        "user": "optiinfra-probe",
    }


def test_a_module_chooses_api_model_usage_and_nonce(make: Make, endpoint: Endpoint) -> None:
    prober = make(endpoint="completions", model="mine", include_usage=False, nonce=False, prompt="p")
    found = samples(probe(prober, endpoint))
    [asked] = endpoint.asked

    assert (asked.path, asked.body["model"], asked.body["prompt"]) == (COMPLETIONS, "mine", "p")
    assert not {"stream_options", "messages"} & asked.body.keys()
    assert found["llm_probe_generated_tokens"] == 2
    assert found["llm_probe_info completion completions mine"] == 1


def test_a_request_may_name_the_model(make: Make, endpoint: Endpoint) -> None:
    probe(make(model="mine"), endpoint, model="asked")
    assert [asked.body["model"] for asked in endpoint.asked] == ["asked"]


@pytest.mark.parametrize("base", ["", "/", "/v1", "/v1/", "/metrics"])
def test_the_base_url_may_end_as_people_write_it(make: Make, endpoint: Endpoint, base: str) -> None:
    found = make().probe("completion", endpoint.netloc + base)
    assert samples(found)["llm_probe_success"] == 1


def test_an_endpoint_behind_a_path_is_asked_there(make: Make, endpoint: Endpoint) -> None:
    endpoint.replies["/llm/v1/models"] = models("m")
    endpoint.replies["/llm" + CHAT] = stream(GOOD)
    assert samples(make().probe("completion", f"{endpoint.netloc}/llm/v1"))["llm_probe_success"] == 1


def test_the_model_is_asked_for_once_in_a_while_and_after_a_refusal(
    make: Make, endpoint: Endpoint, clock: Clock
) -> None:
    prober = make()
    for _ in range(2):
        probe(prober, endpoint)
    assert [asked.path for asked in endpoint.asked] == ["/v1/models", CHAT, CHAT]
    clock.ahead += REMEMBER_SECONDS
    probe(prober, endpoint)
    assert [asked.path for asked in endpoint.asked][3:] == ["/v1/models", CHAT]
    endpoint.replies[CHAT] = page(b"{}", status=404)
    probe(prober, endpoint)
    probe(prober, endpoint)
    assert [asked.path for asked in endpoint.asked][5:] == [CHAT, "/v1/models", CHAT]


def test_headers_carry_secrets_from_files_that_may_change(make: Make, endpoint: Endpoint, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("first\n")
    headers = {"Authorization": {"file": str(secret), "prefix": "Bearer "}, "X-Team": {"value": "a"}}
    prober = make(headers=headers, targets=[f"http://{endpoint.netloc}/v1"])
    probe(prober, endpoint)
    secret.write_text("second\n")
    probe(prober, endpoint)

    assert [asked.headers["Authorization"] for asked in endpoint.asked] == ["Bearer first"] * 2 + ["Bearer second"]
    assert {asked.headers["X-Team"] for asked in endpoint.asked} == {"a"}
    secret.unlink()
    gone = probe(prober, endpoint)
    assert failure(gone) == BlackboxFailure.CREDENTIALS
    secret.write_text("a\nX-Evil: 1")
    assert failure(probe(prober, endpoint)) == BlackboxFailure.CREDENTIALS
    assert len(endpoint.asked) == 3


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_a_stream_may_be_cut_anywhere(make: Make, endpoint: Endpoint, size: int, *, chunked: bool) -> None:
    whole = b"".join([ROLE, chat("é"), b": ping\r\n\r\n", chat("水🙂"), chat("", "stop"), usage(7), DONE])
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    endpoint.replies[CHAT] = stream(pieces, chunked=chunked)
    found = samples(probe(make(), endpoint))
    assert (found["llm_probe_success"], found["llm_probe_generated_tokens"]) == (1, 7)


@pytest.mark.parametrize("field", ["content", "reasoning", "reasoning_content"])
def test_thoughts_are_tokens_too(make: Make, endpoint: Endpoint, field: str) -> None:
    endpoint.replies[CHAT] = stream([chat(None, **{field: "hm"}), chat(None, "length"), DONE])
    assert samples(probe(make(), endpoint))["llm_probe_generated_tokens"] == 1


@pytest.mark.parametrize("claimed", [0, 1_000_000])
def test_a_count_that_cannot_be_is_not_believed(make: Make, endpoint: Endpoint, claimed: int) -> None:
    endpoint.replies[CHAT] = stream([chat("a"), chat("b", "stop"), usage(claimed), DONE])
    assert samples(probe(make(), endpoint))["llm_probe_generated_tokens"] == 2


def test_a_stream_may_end_after_its_finish_reason_without_done(make: Make, endpoint: Endpoint) -> None:
    endpoint.replies[CHAT] = stream([chat("a", "stop")])
    assert samples(probe(make(), endpoint))["llm_probe_success"] == 1


def test_an_endpoint_that_sends_on_after_done_is_left(make: Make, endpoint: Endpoint) -> None:
    def endless() -> Iterator[bytes]:
        yield b"".join(GOOD)
        endpoint.released.wait(10)

    endpoint.replies[CHAT] = stream(endless())
    found = samples(probe(make(), endpoint))
    assert (found["llm_probe_success"], found["llm_probe_duration_seconds"] < 8) == (1, True)


def test_text_may_be_no_matter(make: Make, endpoint: Endpoint) -> None:
    endpoint.replies[CHAT] = stream([ROLE, chat("", "stop"), usage(1), DONE])
    assert failure(probe(make(), endpoint)) == BlackboxFailure.EMPTY
    found = samples(probe(make(require_text=False), endpoint))
    assert (found["llm_probe_success"], found["llm_probe_generated_tokens"]) == (1, 1)
    assert "llm_probe_time_to_first_token_seconds" not in found


def test_a_real_stream_of_vllm_is_read_in_pieces_of_any_size(make: Make, endpoint: Endpoint) -> None:
    captured = (Path(__file__).parents[2] / "data" / "blackbox" / "vllm-0.32-completions.sse").read_bytes()
    prober = make(endpoint="completions")
    for size in (1, 100, 10_000):
        pieces = [captured[start : start + size] for start in range(0, len(captured), size)]
        endpoint.replies[COMPLETIONS] = stream(pieces)
        found = samples(probe(prober, endpoint))
        assert (found["llm_probe_success"], found["llm_probe_generated_tokens"]) == (1, 8)
