"""A service that was found, as planners want it: its configuration, its replicas, and who reads their files."""

from dataclasses import dataclass

from recommender.contracts import Executor, ReplicaTarget
from recommender.executors import build
from recommender.inventory import Inventory, ServiceConfig
from recommender.oneshot.read import Known


@dataclass(frozen=True, slots=True)
class Subject:
    """`config` None: the inventory lacks the service, and its replicas are not all of one engine."""

    config: ServiceConfig | None
    targets: tuple[ReplicaTarget, ...]
    executor: Executor | None


def subject_of(service: Known, inventory: Inventory, engine_version: str | None = None) -> Subject:
    """By the inventory; of a service outside it the engine and replicas that its series tell, and no file of theirs.

    `engine_version` goes before the inventory's; what replicas tell of themselves it cannot contradict unseen.
    """
    listed = inventory.services.get(service.name)
    given = {} if engine_version is None else {"engine_version": engine_version}
    if listed is not None:
        listed = listed.model_copy(update=given)
        found = inventory.targets(service.name) or _targets(service, listed)
        return Subject(listed, found, build().get(listed.executor.type))
    if len(service.engines) != 1:
        return Subject(None, (), None)
    config = ServiceConfig(engine=service.engines[0], engine_version=engine_version)
    return Subject(config, _targets(service, config), None)


def _targets(service: Known, config: ServiceConfig) -> tuple[ReplicaTarget, ...]:
    return tuple(
        ReplicaTarget(service.name, instance, f"http://{instance}", config.engine) for instance in service.instances
    )
