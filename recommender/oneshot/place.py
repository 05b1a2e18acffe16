"""A Prometheus without our rules, as the inliner sees it: which series exist, and which labels they lack.

The rules expect the labels `service` and `node`, and jobs that are named like engines. Here engines' series are
narrowed to the jobs that were found, and get the labels that their targets lack.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from exporters.catalog import Engine
from recommender.oneshot.targets import PROBED, Service, Target
from rules.inline.leaves import Leaf, Relabel, escaped
from rules.inline.matchers import Matcher
from rules.inline.piece import Refused
from rules.pack import Rule
from rules.syntax import Series

_PORT = r"(?::\d+)?"
_HOST = rf"(.+?){_PORT}"
_META = re.compile(r"([\\.+*?()|\[\]{}^$])")
_OWN = ("gpu_", "host_")
_OF_MACHINES = frozenset({"gpu", "host", "node"})  # DCGM's and nvidia-smi's rules find the node themselves
_SOURCES = "sources"
_ENGINES = frozenset(Engine)


def pattern_of(values: Iterable[str]) -> str:
    """A regular expression for these texts, as between double quotes. RE2 refuses to escape what need not be."""
    return escaped("|".join(_META.sub(r"\\\1", value) for value in sorted(set(values))))


@dataclass(frozen=True, slots=True)
class Machines:
    """Nodes as the exporters of hosts and GPUs name them. `unnamed`: exporters whose targets have no label `node`."""

    names: frozenset[str] = frozenset()
    unnamed: frozenset[str] = frozenset()


class RawPlace:
    """Implements `rules.inline.leaves.Place` for `services`.

    `names` are the series that exist. `whole`: the jobs of these services scrape no other engines.
    """

    def __init__(self, services: Sequence[Service], names: frozenset[str], machines: Machines, *, whole: bool) -> None:
        self._names = names
        self._whole = whole
        self._targets = [target for service in services for target in service.targets]
        self._machines = machines
        self._relabels = (*_service_labels(services), *_node_labels(self._targets, machines))

    def leaf(self, series: Series, rule: Rule) -> Leaf | None:
        """The selector as it is sent. Raises Refused where a rule matches a label that targets here do not have."""
        if series.name == "up":
            return self._up(series, rule)
        if not series.name:
            return Leaf(series) if any(self._matching(series)) else None
        if series.name not in self._names:
            return None
        engine = _engine_of(rule)
        if engine is not None and series.name != PROBED and not series.name.startswith(_OWN):
            return self._scoped(series, [target for target in self._targets if target.engine is engine], engine.value)
        if series.name.startswith("llm_"):
            return self._scoped(series, [target for target in self._targets if target.probed], "")
        return self._of_a_machine(series)

    def _up(self, series: Series, rule: Rule) -> Leaf | None:
        """Of engines alone: a job may scrape other things beside them."""
        if ("job", "=", "recommender") in series.matchers:
            return None
        engine = _engine_of(rule)
        if engine is None or ("job", "!=", "llm-probe") in series.matchers:
            return self._scoped(series, [target for target in self._targets if not target.probed], "", by_instance=True)
        targets = [target for target in self._targets if target.engine is engine and not target.probed]
        return self._scoped(series, targets, engine.value, by_instance=True)

    def _scoped(self, series: Series, targets: Sequence[Target], job: str, *, by_instance: bool = False) -> Leaf | None:
        """The series of `targets`, with the labels that they lack; `job` is what the rules call theirs."""
        if not targets:
            return None
        matchers = [one for one in series.matchers if one != ("job", "=", job)]
        matchers += self._scope(targets, by_instance=by_instance)
        mine = [one for one in self._relabels if one.applies(targets)]
        self._refuse_new_labels(series, mine)
        return Leaf(Series(series.name, (), "", tuple(matchers)), tuple(one.relabel for one in mine))

    def _scope(self, targets: Sequence[Target], *, by_instance: bool) -> list[Matcher]:
        jobs = {target.job for target in targets}
        found: list[Matcher] = [("job", "=~", pattern_of(jobs))]
        if by_instance or not self._whole:
            found.append(("instance", "=~", pattern_of(target.instance for target in targets)))
        return found

    def _refuse_new_labels(self, series: Series, added: Iterable["_Labelling"]) -> None:
        new = {one.relabel[0] for one in added}
        for label, _, _ in series.matchers:
            if label in new:
                raise Refused(f"{series.name} is matched by {label}, which its targets here lack")

    def _of_a_machine(self, series: Series) -> Leaf:
        """Of a host or a GPU."""
        family = series.name.partition("_")[0]
        if family not in self._machines.unnamed & _OF_MACHINES:
            return Leaf(series)
        matchers = tuple(one for one in series.matchers if one != ("node", "!=", ""))
        if any(label == "node" for label, _, _ in matchers):
            raise Refused(f"{series.name} is matched by node, which its targets here lack")
        return Leaf(Series(series.name, (), "", matchers), (("node", "$1", "instance", escaped(_HOST)),))

    def _matching(self, series: Series) -> Iterable[bool]:
        pattern = re.compile(series.pattern)
        return (pattern.fullmatch(name) is not None for name in self._names)


@dataclass(frozen=True, slots=True)
class _Labelling:
    """A label that some targets lack."""

    relabel: Relabel
    targets: frozenset[Target]

    def applies(self, targets: Iterable[Target]) -> bool:
        return not self.targets.isdisjoint(targets)


def _engine_of(rule: Rule) -> Engine | None:
    """The engine whose own series a rule reads."""
    path = PurePath(rule.file)
    return Engine(path.stem) if path.parent.name == _SOURCES and path.stem in _ENGINES else None


def _service_labels(services: Sequence[Service]) -> Iterable[_Labelling]:
    """The service of targets that do not say it: by job where the whole job is one, else by instance."""
    owners: Mapping[str, set[str]] = {}
    owners = {job: set() for service in services for job in (target.job for target in service.targets)}
    for service in services:
        for target in service.targets:
            owners[target.job].add(service.name)
    for service in services:
        if all(target.service == service.name for target in service.targets):
            continue
        jobs = {target.job for target in service.targets}
        source, values = ("job", jobs)
        if any(len(owners[job]) > 1 for job in jobs):
            source, values = "instance", {target.instance for target in service.targets}
        name = escaped(service.name).replace("$", "$$")
        yield _Labelling(("service", name, source, pattern_of(values)), frozenset(service.targets))


def _node_labels(targets: Sequence[Target], machines: Machines) -> Iterable[_Labelling]:
    """The node of engines that do not say it: the inventory's, else where an exporter is scraped at the same host."""
    for node in sorted({target.placed for target in targets if target.placed}):
        here = frozenset(target for target in targets if target.placed == node)
        value = escaped(node).replace("$", "$$")
        yield _Labelling(("node", value, "instance", pattern_of(target.instance for target in here)), here)
    lacking = frozenset(
        target
        for target in targets
        if not target.node and not target.placed and host_of(target.instance) in machines.names
    )
    if lacking:
        hosts = pattern_of(host_of(target.instance) for target in lacking)
        yield _Labelling(("node", "$1", "instance", f"({hosts}){escaped(_PORT)}"), lacking)


def host_of(instance: str) -> str:
    """`instance` without its port."""
    found = re.fullmatch(_HOST, instance)
    return found[1] if found else instance
