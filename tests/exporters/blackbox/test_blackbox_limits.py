"""What a black-box prober does not do: ask whom it may not, and spend more than its budget."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler

import pytest

from exporters.catalog import BlackboxFailure
from tests.exporters.blackbox.asking import Make, failure, probe, samples
from tests.exporters.blackbox.conftest import Clock
from tests.exporters.blackbox.endpoint import (
    CHAT,
    GOOD,
    Endpoint,
    stream,
)


@pytest.mark.parametrize(
    ("parameters", "status", "text"),
    [
        (("nothing", "http://127.0.0.1:1"), 400, "module 'nothing' is not configured; these are: completion"),
        (("completion", None), 400, "target is missing: /probe?module=completion"),
        (("completion", "ftp://127.0.0.1"), 400, "the scheme must be http or https"),
        (("completion", "http://127.0.0.1:1", "m\n"), 400, "model: expected"),
        (("completion", "http://127.0.0.1:1", "m" * 257), 400, "model: expected"),
        (("completion", "http://192.0.2.1:1"), 403, "http://192.0.2.1:1 is not an allowed target"),
        (("completion", "http://169.254.169.254"), 403, "not an allowed target"),
    ],
)
def test_a_bad_parameter_is_refused_with_a_sentence(
    make: Make, parameters: tuple[str, ...], status: int, text: str
) -> None:
    result = make().probe(*parameters)
    assert result.status == status
    assert text in result.body.decode()


@pytest.mark.parametrize("target", ["https://127.0.0.1:{port}", "http://127.0.0.2:{port}", "http://127.0.0.1:1"])
def test_secrets_go_to_the_targets_of_their_module_only(make: Make, endpoint: Endpoint, target: str) -> None:
    prober = make(headers={"X-Key": {"value": "s3cret"}}, targets=[f"http://{endpoint.netloc}"])
    refused = prober.probe("completion", target.format(port=endpoint.port))
    assert refused.status == 403
    assert b"is not among the targets of module 'completion'" in refused.body
    assert endpoint.asked == []


def test_a_name_that_leads_to_a_forbidden_address_is_not_asked(endpoint: Endpoint, make: Make) -> None:
    prober = make(allow=f"engine.test:{endpoint.port}", model="m")
    prober._asker = type(prober._asker)(
        prober._asker.allowed,
        prober._asker.models,
        prober._asker.nonce,
        prober._asker.tls,
        lambda _host, port, **_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", port))],
    )
    assert failure(prober.probe("completion", f"http://engine.test:{endpoint.port}")) == BlackboxFailure.ADDRESS
    assert endpoint.asked == []


def test_over_budget_nothing_is_sent(make: Make, endpoint: Endpoint, clock: Clock) -> None:
    prober = make(budget={"probes_per_minute": 2}, model="m")
    assert [samples(probe(prober, endpoint)).get("llm_probe_success") for _ in range(2)] == [1, 1]
    refused = probe(prober, endpoint)
    assert failure(refused) == BlackboxFailure.BUDGET
    assert samples(refused) == {"llm_probe_failure_info budget": 1}
    assert b"# probes_per_minute is spent; again in 30 s" in refused.body
    assert len(endpoint.asked) == 2
    clock.ahead += 31
    assert samples(probe(prober, endpoint))["llm_probe_success"] == 1


def test_one_target_is_left_alone_for_a_while_and_others_are_not(make: Make, endpoint: Endpoint, clock: Clock) -> None:
    prober = make(min_interval_seconds=30, model="m")
    endpoint.replies["/b" + CHAT] = stream(GOOD)
    assert samples(probe(prober, endpoint))["llm_probe_success"] == 1
    for same in (endpoint.netloc, f"{endpoint.netloc}/v1", f"http://{endpoint.netloc}/metrics"):
        assert failure(prober.probe("completion", same)) == BlackboxFailure.BUDGET
    assert samples(prober.probe("completion", f"{endpoint.netloc}/b"))["llm_probe_success"] == 1
    clock.ahead += 30
    assert samples(probe(prober, endpoint))["llm_probe_success"] == 1


def test_the_budget_holds_over_requests_at_once(make: Make, endpoint: Endpoint) -> None:
    prober = make(budget={"tokens_per_hour": 24, "concurrent_probes": 32}, max_tokens=8, model="m")
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: probe(prober, endpoint), range(48)))
    succeeded = [result for result in results if samples(result).get("llm_probe_success") == 1]
    assert len(succeeded) == len(endpoint.posts()) == 3
    assert {failure(result) for result in results if result not in succeeded} == {BlackboxFailure.BUDGET}


def test_probes_under_way_have_a_limit_and_give_their_place_back(make: Make, endpoint: Endpoint) -> None:
    prober = make(budget={"concurrent_probes": 1}, model="m")
    arrived, go_on = threading.Event(), threading.Event()

    def wait(handler: BaseHTTPRequestHandler) -> None:
        arrived.set()
        go_on.wait(10)
        stream(GOOD)(handler)

    endpoint.replies[CHAT] = wait
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(probe, prober, endpoint)
        assert arrived.wait(10)
        assert b"1 probes are under way" in probe(prober, endpoint).body
        go_on.set()
        assert samples(first.result())["llm_probe_success"] == 1
    assert samples(probe(prober, endpoint))["llm_probe_success"] == 1
