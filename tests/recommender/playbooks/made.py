"""Services made by hand: evidence, findings and contexts of an engine, a model and a GPU whose figures are round."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from recommender.contracts import ReplicaTarget
from recommender.evidence import signal_query, unit_of
from recommender.facts import ServiceFacts
from recommender.gpus import GPUS
from recommender.inventory import TuningConfig
from recommender.knobs import load
from recommender.model import Change, Confirmation, Evidence, Finding, KnobValue, Reading
from recommender.playbooks import PLAYBOOKS, Advice, PlanContext, Playbook
from recommender.sizing import NotApplicable
from recommender.sizing.model_facts import Attention, ModelFacts
from rules.catalog import OBJECTIVES, THRESHOLDS, Bottleneck, BottleneckKind

ONE, TWO = "10.0.0.1:8000", "10.0.0.2:8000"
KV_BYTES = 2 * 32 * 8 * 128 * 2  # 2·L·H_kv·d·b of the model below in 16 bits: 131,072
# 32 layers of 8 KV heads of 128, 8e9 parameters: 16 GB in 16 bits, 8 GB in 8; no embeddings apart, to count by hand.
MODEL = ModelFacts(
    name="made-8b",
    layers=32,
    hidden_size=4096,
    heads=32,
    kv_heads=8,
    head_dim=128,
    attention=Attention.GQA,
    latent_dim=None,
    rope_dim=None,
    sliding_window=None,
    sliding_layers=0,
    linear_layers=0,
    parameters=8e9,
    active_parameters=8e9,
    vocab_size=128000,
    max_length=8192,
    weight_dtype="bf16",
    source="made by hand",
)


def facts(gpu: str = "h100_sxm", **given: Any) -> ServiceFacts:
    """All facts of a replica on one GPU; `given` replaces some."""
    known: dict[str, Any] = {
        "model": MODEL,
        "gpu": GPUS[gpu],
        "gpus_per_replica": 1,
        "tensor_parallel": 1,
        "weight_dtype": "bf16",
        "kv_dtype": "bf16",
    }
    return ServiceFacts(**(known | given))


def evidence(
    signals: Mapping[str, float],
    *,
    service: Mapping[str, float] | None = None,
    per_replica: Mapping[str, Mapping[str, float]] | None = None,
    objectives: Mapping[str, float | None] | None = None,
    confirmed: tuple[Bottleneck, ...] = (),
) -> Evidence:
    """Two replicas that show `signals`, each with what `per_replica` has for it besides."""

    def reading(name: str, value: float, instance: str | None) -> Reading:
        labels = {"service": "chat"} | ({} if instance is None else {"instance": instance})
        return Reading(
            name=name, query=signal_query(name, **labels), value=value, unit=unit_of(name), instance=instance
        )

    own = {i: {**signals, **(per_replica or {}).get(i, {})} for i in (ONE, TWO)}
    extra = {i: dict(shown) for i, shown in (per_replica or {}).items() if i not in own}
    return Evidence(
        service="chat",
        at=datetime(2026, 3, 1, 12, tzinfo=UTC),
        service_readings={name: reading(name, value, None) for name, value in (service or {}).items()},
        replica_readings={
            i: {name: reading(name, value, i) for name, value in shown.items()} for i, shown in (own | extra).items()
        },
        thresholds={name: each.default for name, each in THRESHOLDS.items()},
        objectives={name: each.default for name, each in OBJECTIVES.items()} | dict(objectives or {}),
        confirmed=tuple(Confirmation(bottleneck=each) for each in confirmed),
    )


def context(
    engine: str = "vllm",
    *,
    version: str | None = None,
    known: ServiceFacts | None = None,
    tuning: Mapping[str, Any] | None = None,
    companions: Mapping[str, str] | None = None,
    same_node: bool = False,
    **declared: KnobValue,
) -> PlanContext:
    """The service in the inventory, with `declared` settings by neutral name."""
    targets = tuple(
        ReplicaTarget(
            service="chat",
            instance=instance,
            url=f"http://{instance}",
            engine=engine,
            node="gpu-1" if same_node else f"gpu-{number}",
        )
        for number, instance in enumerate((ONE, TWO), 1)
    )
    catalogue = load(engine) if version is None else load(engine).at(version)
    return PlanContext(
        service="chat",
        engine=engine,
        executor="command",
        replicas=targets,
        knobs=catalogue,
        declared=declared,
        facts=ServiceFacts() if known is None else known,
        tuning=TuningConfig.model_validate(dict(tuning or {})),
        companions=companions or {},
    )


def finding(bottleneck: Bottleneck, *instances: str) -> Finding:
    """The bottleneck as a diagnosis would have it, on these replicas (none: of the service)."""
    return Finding(bottleneck=bottleneck, kind=BottleneckKind.CAUSE, confidence=1.0, instances=instances)


def playbook(bottleneck: Bottleneck, identifier: str) -> Playbook:
    """A playbook as it is registered for the bottleneck."""
    return next(each for each in PLAYBOOKS[bottleneck] if each.id == identifier)


def size(
    bottleneck: Bottleneck, identifier: str, seen: Evidence, given: PlanContext, *instances: str
) -> Change | Advice | NotApplicable:
    """What a registered playbook makes of evidence and context."""
    return playbook(bottleneck, identifier).size(seen, finding(bottleneck, *(instances or (ONE, TWO))), given)


def changed(outcome: Change | Advice | NotApplicable) -> Change:
    """The change that a playbook gave, for which it must have proved that it fits where memory moves."""
    assert isinstance(outcome, Change), outcome
    assert outcome.feasibility is None or outcome.feasibility.fits is True
    return outcome


def advised(outcome: Change | Advice | NotApplicable) -> str:
    """The text of advice."""
    assert isinstance(outcome, Advice), outcome
    return outcome.text


def refused(outcome: Change | Advice | NotApplicable) -> str:
    """Why a playbook does not apply."""
    assert isinstance(outcome, NotApplicable), outcome
    return outcome.reason
