"""`optiinfra check`: tries what the recommender would use and says how to mend what does not work."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from recommender.auth import Role, load_tokens
from recommender.contracts import Executor, ReplicaTarget
from recommender.errors import ConfigError, RecommenderError
from recommender.executors import build
from recommender.health import ProbeFailed, alertmanager_probe
from recommender.inventory import Inventory, ServiceConfig, load_inventory
from recommender.models import Unreadable, common_model, read_config_file
from recommender.prometheus import PrometheusClient
from recommender.settings import Settings
from recommender.sizing.model_facts import ModelFacts
from rules.catalog import THRESHOLDS


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check; `ok` None only informs."""

    name: str
    ok: bool | None
    text: str


def run_checks(settings: Settings) -> Iterator[CheckResult]:
    """Inventory, tokens, Prometheus, Alertmanager, then each replica. Changes nothing."""
    found: list[Inventory] = []
    yield _tried("inventory", lambda: _inventory(settings, found))
    yield _tried("tokens", lambda: _tokens(settings))
    yield _tried("prometheus", lambda: _prometheus(settings))
    url = settings.alertmanager_url
    if url is None:
        yield CheckResult(
            "alertmanager", ok=None, text="not set (OPTIINFRA_ALERTMANAGER_URL): its health is not watched"
        )
    else:
        yield _tried("alertmanager", lambda: _alertmanager(url))
    executors = build()
    for inventory in found:
        for name, service in inventory.services.items():
            yield from _model(name, service)
            for target in inventory.targets(name):
                yield _replica(target, service.executor.type, executors[service.executor.type])


def _tried(name: str, check: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(name, ok=True, text=check())
    except (RecommenderError, ProbeFailed) as exc:
        return CheckResult(name, ok=False, text=str(exc))


def _inventory(settings: Settings, found: list[Inventory]) -> str:
    inventory = load_inventory(settings.inventory)
    found.append(inventory)
    if settings.inventory is None:
        return "none (OPTIINFRA_INVENTORY): alerts give advice, nothing is changed"
    replicas = sum(len(service.replicas) for service in inventory.services.values())
    services = len(inventory.services)
    return f"{settings.inventory}: {_counted(services, 'service')}, {_counted(replicas, 'replica')}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _model(name: str, service: ServiceConfig) -> Iterator[CheckResult]:
    """The model's shape, where the inventory names it: without it no plan proves that a change fits in memory."""
    if service.config_of_model is not None:
        read = read_config_file(Path(service.config_of_model))
        ok = not isinstance(read, Unreadable)
        text = read.reason if isinstance(read, Unreadable) else f"{service.config_of_model}: {_parameters(read)}"
        yield CheckResult(f"{name} model_config", ok=ok, text=text)
    elif service.model is not None:
        known = common_model(service.model)
        text = f"{service.model} is not in the shipped table: name its config.json as model_config"
        if known is not None:
            text = f"{service.model}: {_parameters(known)}"
        yield CheckResult(f"{name} model", ok=None if known is None else True, text=text)


def _parameters(model: ModelFacts) -> str:
    return f"{model.parameters / 1e9:.3g} billion parameters in {model.layers} layers"


def _tokens(settings: Settings) -> str:
    tokens = load_tokens(settings.tokens_file)
    if missing := {Role.ALERT_SOURCE, Role.APPROVER, Role.VIEWER} - _covered(tokens.roles()):
        named = ", ".join(sorted(missing))
        raise ConfigError(f"no token of the role {named}; make one: optiinfra tokens new --name NAME --role ROLE")
    return f"{settings.tokens_file}: {_counted(len(tokens), 'token')}"


def _covered(roles: frozenset[Role]) -> frozenset[Role]:
    """Roles that somebody can act in; admin may what approver may, approver what viewer may."""
    above = {Role.ADMIN: {Role.APPROVER, Role.VIEWER}, Role.APPROVER: {Role.VIEWER}}
    return roles.union(*(above.get(role, set()) for role in roles))


def _prometheus(settings: Settings) -> str:
    client = PrometheusClient(settings.prometheus_url, settings.prometheus_timeout_seconds)
    client.check()
    # One that no service has of its own: it is recorded whether or not services are known yet.
    if not client.instant(f'{{__name__="{THRESHOLDS["gpu_memory_used_high_ratio"].series}"}}'):
        raise ConfigError(
            f"{settings.prometheus_url} answers, but has none of OptiInfra's rules: load the folder rules/"
        )
    return f"{settings.prometheus_url} answers and has the rules"


def _alertmanager(url: str) -> str:
    alertmanager_probe(url).try_it()
    return f"{url} is ready"


def _replica(target: ReplicaTarget, kind: str, executor: Executor) -> CheckResult:
    name = f"{target.service} {target.instance}"
    if kind != "command":
        return CheckResult(name, ok=None, text=f"executor {kind}: nothing is changed there")
    return _tried(name, lambda: _command(target, executor))


def _command(target: ReplicaTarget, executor: Executor) -> str:
    settings = executor.read(target)
    directory = Path(target.config_file or "").resolve().parent
    if not os.access(directory, os.W_OK):
        raise ConfigError(f"{directory} cannot be written: the configuration file is replaced there, atomically")
    program = target.restart_command[0]
    if shutil.which(program) is None:
        raise ConfigError(f"restart_command: there is no program '{program}'; write its full path")
    if executor.ready(target) is False:
        raise ConfigError(f"{target.url}{target.ready_path} does not say that it is ready")
    return f"{target.config_file}: {len(settings)} settings; restart with {program}"
