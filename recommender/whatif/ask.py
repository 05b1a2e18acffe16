"""A what-if of a service as it is now: evidence, settings and a day of history read, then `compare.what_if`."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from recommender.calibration import calibrate
from recommender.contracts import Executor, PromQL, ReplicaTarget
from recommender.errors import NotFound, PrometheusError
from recommender.evidence import gather
from recommender.inventory import Inventory, ServiceConfig
from recommender.planner import context_of
from recommender.sizing import NotApplicable
from recommender.sizing.fit import FittedStep
from recommender.whatif.compare import what_if
from recommender.whatif.model import WhatIf, Wish


def ask(
    promql: PromQL,
    inventory: Inventory,
    executors: Mapping[str, Executor],
    *,
    service: str,
    wish: Wish,
    at: datetime,
) -> WhatIf:
    """Read and predict a service of the inventory; nothing is changed.

    Raises NotFound for a service outside the inventory (its engine and settings are needed) or without signals,
    Refused for a setting that the engine does not take, PrometheusError.
    """
    config = inventory.services.get(service)
    if config is None:
        raise NotFound(f"the inventory has no service '{service}': a what-if needs its engine and settings from there")
    executor = executors.get(config.executor.type)
    gpus = inventory.gpus_of(service)
    return ask_of(promql, service, config, inventory.targets(service), executor, gpus=gpus, wish=wish, at=at)


def ask_of(
    promql: PromQL,
    service: str,
    config: ServiceConfig,
    targets: Sequence[ReplicaTarget],
    executor: Executor | None,
    *,
    gpus: Mapping[str, Sequence[str]],
    wish: Wish,
    at: datetime,
) -> WhatIf:
    """As `ask`, of a service whose configuration is at hand, wherever that is from."""
    evidence = gather(promql, service, at, gpus=gpus)
    context = context_of(service, config, targets, executor, evidence=evidence)
    return what_if(wish, evidence, context, _step(promql, service, at))


def _step(promql: PromQL, service: str, at: datetime) -> FittedStep | NotApplicable:
    try:
        return calibrate(promql, service, at)
    except PrometheusError as exc:
        return NotApplicable(f"the history could not be read: {exc}")
