"""Every scenario, by subject. Names and seeds are theirs for ever: equal code gives equal bytes."""

from demo.faults.corpus import availability, balance, capacity, cost, hardware, healthy, hosts, hours, latency, limits
from demo.faults.scenario import Scenario

_SUBJECTS = (limits, latency, balance, availability, hardware, hosts, hours, capacity, cost, healthy)


def corpus() -> tuple[Scenario, ...]:
    """The whole corpus."""
    return tuple(scenario for subject in _SUBJECTS for scenario in subject.scenarios())
