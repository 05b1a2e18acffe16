"""How the tests of the black-box prober ask it, and read what it answers."""

from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from exporters.blackbox.probe import BlackboxProber
from exporters.inference.probe import ProbeResult
from tests.exporters.blackbox.endpoint import Endpoint

Make = Callable[..., BlackboxProber]


def samples(result: ProbeResult) -> dict[str, float]:
    """Values by name, a label's value behind it where there is one."""
    assert result.status == 200
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(result.body.decode())
        for sample in family.samples
    }


def failure(result: ProbeResult) -> str:
    """The reason of a probe that failed."""
    found = samples(result)
    [reason] = [name.partition(" ")[2] for name in found if name.startswith("llm_probe_failure_info")]
    assert found.get("llm_probe_success") == (None if reason in {"budget", "credentials", "address"} else 0)
    return reason


def probe(prober: BlackboxProber, endpoint: Endpoint, **parameters: str) -> ProbeResult:
    return prober.probe("completion", f"http://{endpoint.netloc}", **parameters)
