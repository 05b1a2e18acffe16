"""The knobs of a replica as far as the inventory and its files tell them: what `optiinfra_replica_knob` exports.

Prometheus is not asked, so a default counts only where the inventory itself declares the engine's version, and the GPU
where the default depends on it.
"""

from recommender.contracts import Executor, ReplicaTarget
from recommender.engine_version import engine_version
from recommender.errors import ExecutorError, NotFound
from recommender.gpus import GPUS
from recommender.inventory import ServiceConfig
from recommender.knobs import load
from recommender.model import KnobValue
from recommender.playbooks.defaults import defaults_here


def replica_knobs(service: ServiceConfig, target: ReplicaTarget, executor: Executor | None) -> dict[str, KnobValue]:
    """Neutral name -> value: of the configuration file, else of the inventory, else the engine's default."""
    declared = service.settings.declared()
    try:
        file = None if executor is None else executor.configuration(target)
        version = engine_version(service, None).value
        whole = load(service.engine)
        knobs = whole.at(version)
    except (NotFound, ExecutorError):
        return declared
    if file is None:
        return declared
    gpu = None if service.hardware.gpu is None else GPUS[service.hardware.gpu]
    here = defaults_here({target.instance: file}, knobs, version, gpu=gpu, declared=declared)[target.instance]
    unset = {name: each.value for name, each in here.values.items()}
    return {name: value for name, value in {**unset, **declared}.items() if name not in here.unread} | whole.neutral(
        file.values
    )
