"""Parts of `optiinfra diagnose` that need no Prometheus: what counts as a service, and what is done when it refuses."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from exporters.catalog import Engine
from recommender.contracts import Sample
from recommender.errors import PrometheusError
from recommender.inventory import Inventory, ServiceConfig
from recommender.model import Diagnosis, DiagnosisStatus
from recommender.oneshot.client import QueryRefused, TookTooLong
from recommender.oneshot.evaluate import evaluate
from recommender.oneshot.place import Machines, RawPlace, pattern_of
from recommender.oneshot.read import Known
from recommender.oneshot.report import ExitCode, worst
from recommender.oneshot.severity import exit_code
from recommender.oneshot.subject import subject_of
from recommender.oneshot.targets import Service, services_of, targets_of
from rules.catalog import Severity
from rules.inline.inliner import Inliner
from rules.inline.leaves import Leaf
from rules.pack import Rule
from rules.syntax import Series

AT = datetime(2026, 11, 21, tzinfo=UTC)


def seen(name: str = "vllm:num_requests_running", **labels: str) -> Sample:
    return Sample({"__name__": name, "job": "llm", "instance": "a:1", "model_name": "m", **labels}, 1.0)


def names(*samples: Sample, listed: dict[str, str] | None = None) -> list[tuple[str, int]]:
    return [(service.name, len(service.targets)) for service in services_of(targets_of(samples), listed or {})]


def test_a_job_is_a_service_where_no_label_says_otherwise() -> None:
    assert names(seen(), seen(instance="b:1")) == [("llm", 2)]
    assert names(seen(service="chat"), seen(service="chat", instance="b:1", model_name="n")) == [("chat", 2)]


def test_models_and_engines_of_one_job_are_told_apart() -> None:
    assert names(seen(), seen(instance="b:1", model_name="n")) == [("llm/m", 1), ("llm/n", 1)]
    tgi = seen("tgi_queue_size", instance="b:1")
    assert names(seen(), tgi) == [("llm/tgi", 1), ("llm/vllm", 1)]


def test_namespaces_tell_equal_names_apart() -> None:
    found = names(seen(service="chat", namespace="a"), seen(service="chat", namespace="b", instance="b:1"))
    assert found == [("a/chat", 1), ("b/chat", 1)]


def test_the_inventory_goes_before_every_label() -> None:
    found = names(seen(service="x"), seen(instance="b:1"), listed={"a:1": "chat"})
    assert found == [("chat", 1), ("llm", 1)]


def test_an_engine_that_two_jobs_scrape_is_one_and_a_page_of_two_engines_is_the_first() -> None:
    assert names(seen(), seen(job="other", service="chat")) == [("chat", 1)]
    (target,) = targets_of([seen(), seen("dynamo_frontend_requests_total", model="x"), seen("llm_up", engine="vllm")])
    assert (target.engine, target.models, target.probed) == (Engine.VLLM, ("m",), False)


@pytest.mark.parametrize(
    "sample",
    [
        seen("llm_up", engine="nonsense"),
        seen("llm_up", engine="lmcache"),
        seen("something_else"),
        Sample({"__name__": "tgi_queue_size"}, 1.0),
    ],
)
def test_what_is_no_engine_is_none(sample: Sample) -> None:
    assert targets_of([sample]) == []


def place(*services: Service, machines: Machines | None = None, whole: bool = True) -> RawPlace:
    existing = frozenset({"vllm:num_requests_running", "up", "node_load1", "DCGM_FI_DEV_FB_USED"})
    return RawPlace(services, existing, machines or Machines(), whole=whole)


def source(file: str) -> Rule:
    return Rule(f"sources/{file}.yml", "any", "replica:x", is_alert=False, expr="x", labels={}, annotations={})


def test_engines_series_are_narrowed_to_their_jobs_and_get_the_labels_that_they_lack() -> None:
    (service,) = services_of(targets_of([seen(job="a|b", instance="gpu1:8000")]), {})
    here = place(service, machines=Machines(frozenset({"gpu1"}), frozenset({"node"})))
    leaf = here.leaf(Series("vllm:num_requests_running"), source("vllm"))
    assert leaf is not None
    assert leaf.series.matchers == (("job", "=~", "a\\\\|b"),)
    assert leaf.relabelled("x") == (
        'label_replace(label_replace(x,"service","a|b","job","a\\\\|b"),"node","$1","instance","(gpu1)(?::\\\\d+)?")'
    )
    assert here.leaf(Series("vllm:num_requests_waiting"), source("vllm")) is None
    up = here.leaf(Series("up", (), "", (("job", "=", "vllm"),)), source("vllm"))
    assert up is not None
    assert up.series.matchers == (("job", "=~", "a\\\\|b"), ("instance", "=~", "gpu1:8000"))
    load = here.leaf(Series("node_load1", (), "", (("node", "!=", ""),)), source("node_exporter"))
    assert load is not None
    assert load.relabelled("x") == 'label_replace(x,"node","$1","instance","(.+?)(?::\\\\d+)?")'
    assert here.leaf(Series("", (), "DCGM_FI_DEV_(FB_USED|X)"), source("dcgm")) is not None


def test_an_engine_without_a_node_is_where_the_inventory_puts_it() -> None:
    target = replace(targets_of([seen(instance="gpu1:8000", service="chat")])[0], placed="rack-1$")
    (service,) = services_of([target], {})
    here = place(service, machines=Machines(frozenset({"gpu1"}), frozenset({"node"})))
    leaf = here.leaf(Series("vllm:num_requests_running"), source("vllm"))
    assert leaf is not None
    assert leaf.relabelled("x") == 'label_replace(x,"node","rack-1$$","instance","gpu1:8000")'


def test_patterns_escape_only_what_re2_has_meaning_for() -> None:
    assert pattern_of(["a-b c", "d.e:1", "[::1]:8000"]) == "\\\\[::1\\\\]:8000|a-b c|d\\\\.e:1"


class Answering:
    """A Prometheus that refuses every query with one of these words."""

    def __init__(self, bad: str, refusal: Callable[[], QueryRefused]) -> None:
        self.bad, self.refusal, self.asked = bad, refusal, 0

    def vector(self, query: str, at: datetime) -> list[Sample]:  # noqa: ARG002 - the protocol's
        self.asked += 1
        if self.bad in query:
            raise self.refusal()
        return [Sample({"oneshot": str(number)}, 1.0) for number in range(query.count("oneshot"))]


def evaluated(client: Answering, *exprs: str) -> tuple[set[str], dict[str, str]]:
    rules = [
        Rule("any.yml", "any", f"replica:{number}", is_alert=False, expr=expr, labels={}, annotations={})
        for number, expr in enumerate(exprs)
    ]
    found = evaluate(client, Inliner(rules, _Everything(), {}), rules, AT)
    return {sample.labels["__name__"] for sample in found.samples}, dict(found.refused)


class _Everything:
    def leaf(self, series: Series, rule: Rule) -> Leaf:  # noqa: ARG002 - the protocol's
        return Leaf(series)


def test_what_prometheus_refuses_is_unknown_and_its_companions_are_asked_again() -> None:
    client = Answering("bad", lambda: QueryRefused("found duplicate series"))
    known, refused = evaluated(client, "a", "b", "bad", "d", "replica:2 + 1")
    assert known == {"replica:0", "replica:1", "replica:3"}
    assert set(refused) == {"any.yml: replica:2", "any.yml: replica:4"}
    assert set(refused.values()) == {"Prometheus: found duplicate series"}


def test_a_prometheus_that_is_too_slow_is_left_alone() -> None:
    client = Answering("", lambda: TookTooLong("no answer within 1 s"))
    with pytest.raises(PrometheusError, match="--service"):
        evaluated(client, *(f"metric_{number}" for number in range(16)))
    assert client.asked == 4


def test_the_worst_service_gives_the_status_and_too_little_evidence_hides_nothing_worse() -> None:
    codes = (ExitCode.HEALTHY, ExitCode.NOT_ENOUGH_EVIDENCE, ExitCode.WARNING)
    assert worst(codes) is ExitCode.WARNING
    assert worst(codes[:2]) is ExitCode.NOT_ENOUGH_EVIDENCE
    assert worst((*codes, ExitCode.CRITICAL)) is ExitCode.CRITICAL
    unclear = Diagnosis(service="s", at=AT, status=DiagnosisStatus.NOT_ENOUGH_EVIDENCE)
    assert exit_code(unclear, Severity.WARNING) is ExitCode.WARNING
    assert exit_code(unclear, Severity.NONE) is ExitCode.NOT_ENOUGH_EVIDENCE
    healthy = Diagnosis(service="s", at=AT, status=DiagnosisStatus.DIAGNOSED)
    assert exit_code(healthy, Severity.INFO) is ExitCode.HEALTHY


def test_a_version_on_the_command_line_is_that_of_services_outside_and_in_the_inventory() -> None:
    known = Known("chat", "the job", ("vllm",), ("a:1",))
    assert subject_of(known, Inventory(), "0.32.0").config == ServiceConfig(engine="vllm", engine_version="0.32.0")
    assert subject_of(known, Inventory()).config == ServiceConfig(engine="vllm")
    listed = Inventory.model_validate({"services": {"chat": {"engine": "vllm", "engine_version": "0.31.0"}}})
    for given, version in ((None, "0.31.0"), ("0.32.0", "0.32.0")):
        config = subject_of(known, listed, given).config
        assert config is not None
        assert config.engine_version == version
