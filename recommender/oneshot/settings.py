"""Figures that rules compare with, as constants: what the shipped file and the inventory say."""

import re
from collections.abc import Iterable, Mapping, Sequence

from recommender.executors import build
from recommender.inventory import Inventory
from recommender.replica_knobs import replica_knobs
from rules.catalog import OBJECTIVES
from rules.inline.leaves import Constant
from rules.pack import Rule

_FIGURE = re.compile(r"vector\((.+)\)")
_THRESHOLD = "threshold:"
_OBJECTIVE = "service:objective:"
_KNOB = "optiinfra_replica_knob"


def constants(rules: Iterable[Rule], services: Sequence[str], inventory: Inventory) -> Mapping[str, Constant]:
    """`threshold:*`, `service:threshold:*`, `service:objective:*` and the knobs of the inventory, by name."""
    figures = {
        rule.name: float(found[1])
        for rule in rules
        if rule.name.startswith(_THRESHOLD) and not rule.labels and (found := _FIGURE.fullmatch(rule.expr.strip()))
    }
    known: dict[str, Constant] = {name: Constant((({}, value),)) for name, value in figures.items()}
    known |= {f"service:{name}": _each(services, value) for name, value in figures.items()}
    known |= {_OBJECTIVE + name: _objective(name, services, inventory, figures) for name in OBJECTIVES}
    return known | {_KNOB: _knobs(services, inventory)}


def _each(services: Sequence[str], value: float) -> Constant:
    return Constant(tuple(({"service": service}, value) for service in services))


def _objective(name: str, services: Sequence[str], inventory: Inventory, figures: Mapping[str, float]) -> Constant:
    """The inventory's, else the default; some objectives have none."""
    default = figures.get(f"{_THRESHOLD}objective_{name}")
    values = []
    for service in services:
        config = inventory.services.get(service)
        own = getattr(config.objectives, name) if config else None
        value = default if own is None else own
        if value is not None:
            values.append(({"service": service}, float(value)))
    return Constant(tuple(values))


def _knobs(services: Sequence[str], inventory: Inventory) -> Constant:
    """As the recommender would export them: what files and inventory tell of each replica."""
    values, executors = [], build({})
    for service in services:
        config = inventory.services.get(service)
        for target in inventory.targets(service) if config else ():
            known = replica_knobs(config, target, executors.get(config.executor.type)) if config else {}
            values += [
                ({"service": service, "instance": target.instance, "knob": knob}, float(value))
                for knob, value in sorted(known.items())
                if isinstance(value, bool | int | float)
            ]
    return Constant(tuple(values))
