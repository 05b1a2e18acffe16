"""The shipped rules over captured states of a real vLLM, as the prober gives them and as a direct scrape does.

Time is promtool's: ten minutes of exposition at the shipped scrape interval, from the replayer with a clock of our
own, become the input of a generated unit test. `test_live_states.py` does the same with real processes in real time.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from demo.replay import Replayer
from exporters.catalog import Engine, load_engine
from exporters.exposition import Reader
from exporters.inference.mapping import Mapper
from exporters.inference.render import render
from rules import plain_yaml
from rules.catalog.score_signals import SCORE_SIGNALS

CAPTURES = Path(__file__).parents[1] / "data" / "captures" / "vllm"
INTERVAL_SECONDS = 15
STEPS = 41
MAX_NUM_SEQS = 16  # of the captured engines; they do not export it
VARIANTS = ("probed", "direct", "limit-known")
STATES = ("idle", "light", "steady", "saturated", "kv_pressure", "prefix_hits")

Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, Labels], list[float]]


def pages(state: str) -> Iterator[str]:
    """The exposition of a state at each scrape."""
    now = [0.0]
    replayer = Replayer(CAPTURES, clock=lambda: now[0])
    for step in range(STEPS):
        now[0] = float(step * INTERVAL_SECONDS)
        yield replayer.page(state)


def direct(state: str) -> Samples:
    """What a direct scrape stores of the series that the catalogue reads."""
    samples: Samples = defaultdict(list)
    reader = Reader(Mapper(load_engine(Engine.VLLM)).wanted)
    for text in pages(state):
        for name, series in reader.read(text).samples.items():
            for labels, value in series.items():
                samples[name, labels].append(value)
    samples["up", ()] = [1.0] * STEPS
    return samples


def probed(state: str) -> Samples:
    """What a scrape of the exporter's prober stores."""
    samples: Samples = defaultdict(list)
    mapper = Mapper(load_engine(Engine.VLLM))
    reader = Reader(mapper.wanted)
    for text in pages(state):
        for family in text_string_to_metric_families(render(mapper.families(reader.read(text)))):
            for sample in family.samples:
                samples[sample.name, tuple(sample.labels.items())].append(sample.value)
    samples["llm_up", (("engine", "vllm"),)] = [1.0] * STEPS
    return samples


def knob(service: str) -> Samples:
    """What the recommender says of the batch limit in the inventory."""
    where = (("service", service), ("instance", f"{service}:8000"), ("knob", "max_running_requests"))
    return {("optiinfra_replica_knob", where): [MAX_NUM_SEQS] * STEPS}


def input_series(samples: Samples, **target: str) -> Iterator[dict[str, str]]:
    """Series of promtool's test format, with target labels."""
    for (name, labels), values in samples.items():
        text = ",".join(f"{key}={json.dumps(value)}" for key, value in (dict(labels) | target).items())
        yield {"series": f"{name}{{{text}}}", "values": " ".join(map(repr, values))}


def scraped() -> Iterator[dict[str, str]]:
    """Each state three times: probed, scraped directly, and directly with the limit from the inventory."""
    for state in STATES:
        variants = {"probed": ("llm-probe", probed(state)), "direct": ("vllm", direct(state))}
        variants["limit-known"] = variants["direct"]
        for variant, (job, samples) in variants.items():
            service = f"{state}/{variant}"
            yield from input_series(samples, job=job, service=service, instance=f"{service}:8000", node="n1")
        yield from input_series(knob(f"{state}/limit-known"), job="recommender")


def groups(files: list[Path]) -> Iterator[str]:
    """Group names in the order of evaluation: sources, signals, bottlenecks."""
    order = ("thresholds", "objectives", "source", "signals", "bottlenecks", "meta")
    names = [g["name"] for path in files for g in plain_yaml.read(path)["groups"]]
    for prefix in order:
        yield from (name for name in names if name.startswith(prefix))


def expectation(
    expr: str, wanted: dict[str, dict[str, str]], *, at: str = "10m", variants: tuple[str, ...] = VARIANTS
) -> dict[str, Any]:
    """`expr` gives, for each state of `wanted`, one sample of 1 with these labels in each variant, and nothing else."""
    samples = [
        {"labels": selector(service=f"{state}/{variant}", **labels), "value": 1}
        for state, labels in wanted.items()
        for variant in variants
    ]
    return {"expr": expr, "eval_time": at, "exp_samples": samples}


def selector(**labels: str) -> str:
    return "{" + ",".join(f"{key}={json.dumps(value)}" for key, value in labels.items()) + "}"


def ever_fired(matchers: str) -> str:
    return f'count by (service, alertname) (max_over_time(ALERTS{{alertstate="firing",{matchers}}}[10m]))'


def never(expr: str) -> dict[str, Any]:
    """`expr` gives nothing."""
    return {"expr": expr, "eval_time": "10m", "exp_samples": []}


ADMISSION = {"saturated": {"alertname": "LLMAdmissionLimited"}}
SYMPTOMS = ever_fired('kind="symptom"')
CAUSED = ("saturated", "kv_pressure")
BOUNDED = {
    signal.name: 100 if signal.name.endswith(":score") else 1
    for signal in SCORE_SIGNALS
    if signal.name.endswith((":score", "_part:ratio", "_coverage:ratio", ":state"))
}
USES = [name for name in BOUNDED if name.endswith(":state")]
EXPECTED = (
    # Which evidence of a replica ever appeared: one cause each in two states, none in the others.
    expectation(
        "count by (service, bottleneck) (count_over_time(replica:bottleneck:evidence[10m]))",
        {"saturated": {"bottleneck": "admission_limited"}, "kv_pressure": {"bottleneck": "kv_cache_pressure"}},
    ),
    # Which causes and faults ever fired; thrash is the same cause, and worse.
    expectation(
        ever_fired('kind=~"cause|fault",alertname!="LLMKVCacheThrash"'),
        ADMISSION | {"kv_pressure": {"alertname": "LLMKVCachePressure"}},
    ),
    expectation(ever_fired('alertname="LLMKVCacheThrash"'), {"kv_pressure": {"alertname": "LLMKVCacheThrash"}}),
    # Symptoms belong to the same two states.
    expectation(f"count by (service) ({SYMPTOMS}) > bool 0", {"saturated": {}, "kv_pressure": {}}),
    # The limit is found without the inventory too.
    expectation(
        f"count by (service) (replica:llm_max_running_requests == {MAX_NUM_SEQS}"
        ' and on (service) replica:bottleneck:evidence{bottleneck="admission_limited"})',
        {"saturated": {}},
    ),
    # How soon: a minute of `for` after the rates know their first values; a plateau needs its two minutes first.
    expectation(ever_fired('alertname="LLMAdmissionLimited"'), ADMISSION, at="1m30s", variants=("limit-known",)),
    expectation(ever_fired('alertname="LLMAdmissionLimited"'), ADMISSION, at="3m30s"),
    # Scores agree: what has a cause is critical, what has none is healthy; and at no moment do they leave their bounds.
    expectation(
        "count by (service, band) (service:health:band)",
        {state: {"band": "critical" if state in CAUSED else "healthy"} for state in STATES},
    ),
    *(never(f"max_over_time({name}[10m]) > {most}") for name, most in BOUNDED.items()),
    *(never(f"min_over_time({name}[10m]) < 0") for name in BOUNDED),
    *(never(f"max_over_time((count without (state) ({name}))[10m:15s]) > 1") for name in USES),
)


def test_each_state_raises_its_cause_and_no_other_within_the_shipped_windows(
    promtool: Callable[..., str], rule_files: list[Path], tmp_path: Path
) -> None:
    series = list(scraped())
    assert len(series) > 1000
    document = {
        "rule_files": [str(path) for path in rule_files],
        "evaluation_interval": f"{INTERVAL_SECONDS}s",
        "group_eval_order": list(groups(rule_files)),
        "tests": [
            {
                "name": "captured states",
                "interval": f"{INTERVAL_SECONDS}s",
                "input_series": series,
                "promql_expr_test": list(EXPECTED),
            }
        ],
    }
    path = tmp_path / "captured.test.yml"
    path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    promtool("test", "rules", path)
