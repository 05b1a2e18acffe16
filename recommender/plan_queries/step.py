"""A change whose success is asked for."""

from dataclasses import dataclass

from recommender.inventory import SuccessConfig
from recommender.model import Change, Evidence, Expectation, Verification
from recommender.plan_queries.expressions import Selectors

WINDOW = "15m"  # tuning §3.1: what says success holds for at least 15 minutes


@dataclass(frozen=True, slots=True)
class Step:
    """A change whose success is asked for: where, what it promises, and what is seen before it."""

    of: Selectors
    instances: tuple[str, ...]
    change: Change
    judged: Verification
    bounds: SuccessConfig
    evidence: Evidence

    @property
    def goal(self) -> Expectation:
        """What is promised."""
        return self.judged.must_improve

    def known(self, signal: str) -> bool:
        """Whether each replica tells it: a query over what none tells never answers, which says nothing."""
        return all(self.evidence.value(signal, one) is not None for one in self.instances)

    def worst(self, signal: str, *, lowest: bool = False) -> float | None:
        """The highest (lowest) of all replicas; None while one does not tell it."""
        seen = [self.evidence.value(signal, one) for one in self.instances]
        known = [each for each in seen if each is not None]
        return (min if lowest else max)(known) if known and len(known) == len(seen) else None
