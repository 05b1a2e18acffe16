"""How a change can be judged on its engine: by what was promised, or by what the engine has instead. Pure.

Engines differ in what they tell. A promise or a guard whose series no version of the engine has is replaced by one
that it has and that shows the same (docs/rollout.md has the table); a black-box probe stands in where the site makes
them. Where nothing can, the change is advice, and says so before anybody approves it. What the engine should tell and
does not is another matter: that is missing data, which takes a change back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from recommender.engine_signals import NEVER_PREEMPT, could_tell
from recommender.metrics import READ_FROM, WORK_FROM, VerificationMetric, Work
from recommender.model import Direction, Evidence, Expectation, Guard
from recommender.playbooks import Effects, PlanContext
from recommender.wording import metric_name

_M = VerificationMetric
_PROBES = frozenset({_M.PROBE_TTFT_SECONDS, _M.PROBE_ITL_SECONDS, _M.PROBE_FAILURE_RATIO})
_BY_QUEUE = frozenset({"P02", "P03", "P04"})  # what admits more requests: TTFT falls by the time that they queue
_BY_CACHE = frozenset({"P09"})  # a probe's prompt is new each time: no cache can show in it
_OF_TAILS = frozenset({"P05"})  # long prompts stall answers now and then: a mean does not show it


def work_of(engine: str | None) -> Work:
    """The finest work that the engine counts."""
    return next((work for work, signal in WORK_FROM.items() if could_tell(engine, (signal,))), Work.PROBES)


def probed(evidence: Evidence, context: PlanContext) -> bool:
    """Whether black-box probes are made of every replica: a canary is compared with the others."""
    instances = [replica.instance for replica in context.replicas]
    return bool(instances) and all(evidence.value("replica:llm_probe_success", one) is not None for one in instances)


def judged_here(playbook: str, effects: Effects, evidence: Evidence, canary: str, context: PlanContext) -> Effects:
    """The effects with a promise and guards that can be read here; `unverifiable` says why where there are none."""
    here = _Here(playbook, effects, evidence, canary, context, probed(evidence, context))
    found = here.judged()
    if isinstance(found, Effects):
        return found
    could = not here.probes and isinstance(replace(here, probes=True).judged(), Effects)
    mend = (
        f"Give every replica of {context.service} the black-box prober (docs/blackbox.md), and it can be carried out."
        if could
        else "No black-box probe could show it either: make the change yourself and compare."
    )
    return replace(effects, unverifiable=f"It cannot be verified here: {context.engine} does not tell {found}. {mend}")


@dataclass(frozen=True, slots=True)
class _Here:
    """A change of one playbook, and what there is to judge it by. `probes`: whether they are made of every replica."""

    playbook: str
    effects: Effects
    evidence: Evidence
    canary: str
    context: PlanContext
    probes: bool

    def judged(self) -> Effects | str:
        """The effects as they are judged, or, in words, the metric for which nothing stands."""
        engine, promised = self.context.engine, self.effects.must_improve
        if work_of(engine) is Work.PROBES and not self.probes:
            return "how much it does"
        metric = self._first((promised.metric, *_instead_of(promised.metric, self.playbook)))
        if metric is None:
            return metric_name(promised.metric)
        goal = promised if metric == promised.metric else _standing_in(promised, metric, self.context)
        guards: dict[str, Guard] = {}
        for guard in self.effects.guards:
            if guard.metric == _M.PREEMPTIONS_PER_REQUEST and engine in NEVER_PREEMPT:
                continue
            seen = self._first((guard.metric, *_GUARDED_BY.get(VerificationMetric(guard.metric), ())))
            if seen is None:
                return metric_name(guard.metric)
            guards.setdefault(seen, guard if seen == guard.metric else self._bounded(guard, seen))
        expected = self.effects.expected if goal is promised else (*self.effects.expected, goal)
        return replace(self.effects, expected=expected, must_improve=goal, guards=tuple(guards.values()))

    def _first(self, metrics: Sequence[str]) -> VerificationMetric | None:
        """The first of these metrics that can be read."""
        known = (VerificationMetric(metric) for metric in metrics)
        return next((one for one in known if self._readable(one)), None)

    def _readable(self, metric: VerificationMetric) -> bool:
        return self.probes if metric in _PROBES else could_tell(self.context.engine, READ_FROM[metric])

    def _bounded(self, guard: Guard, metric: VerificationMetric) -> Guard:
        """The guard in terms of `metric`."""
        limits, tuning = self.context.verification, self.context.tuning
        match metric:
            case _M.PROBE_FAILURE_RATIO:
                most = max(guard.max_increase or 0.0, limits.probe_failures_max_increase)
                return Guard(metric=metric, max_increase=most)
            case _M.GENERATION_TOKENS_RATE:  # a trade of throughput that is declared is none of errors
                traded = [one.low for one in self.effects.expected if one.metric == metric]
                return Guard(metric=metric, min_ratio=min(limits.generation_tokens_min_ratio, *traded, 1.0))
            case _M.PAUSED_RATIO:
                return Guard(metric=metric, max_value=limits.paused_max_ratio)
            case _M.REQUESTS_WAITING:
                ratio = guard.max_ratio or tuning.ttft_trade_ratio
                return Guard(metric=metric, max_ratio=ratio, tolerated=limits.requests_waiting_tolerated)
            case _M.SECONDS_PER_TOKEN:
                return self._token_time(guard)
            case _:
                return Guard(metric=metric, max_ratio=max(guard.max_ratio or 1.0, limits.probe_max_ratio))

    def _token_time(self, guard: Guard) -> Guard:
        """A mean below a p95's objective by the headroom between them, where it is so now; else a ratio."""
        running = self.evidence.value("replica:llm_requests_running:avg2m", self.canary)
        tokens = self.evidence.value("replica:llm_generation_tokens:rate5m", self.canary)
        if guard.max_value is not None and running is not None and tokens:
            limit = guard.max_value / self.context.tuning.itl_headroom_ratio
            if running / tokens < limit:
                return Guard(metric=_M.SECONDS_PER_TOKEN, max_value=limit)
        return Guard(metric=_M.SECONDS_PER_TOKEN, max_ratio=guard.max_ratio or self.context.tuning.itl_trade_ratio)


def _instead_of(metric: str, playbook: str) -> tuple[VerificationMetric, ...]:
    """What shows an improvement of `metric`, by what the playbook's class does, the surest first."""
    kind = playbook.partition(".")[0]
    if metric == _M.TTFT_P95_SECONDS:
        if kind in _BY_CACHE:
            return (_M.PREFIX_CACHE_HIT_RATIO,)
        return (*((_M.QUEUE_SECONDS_PER_TOKEN,) if kind in _BY_QUEUE else ()), _M.PROBE_TTFT_SECONDS)
    if metric == _M.ITL_P95_SECONDS:
        return (*(() if kind in _OF_TAILS else (_M.SECONDS_PER_TOKEN,)), _M.PROBE_ITL_SECONDS)
    return (_M.PAUSED_RATIO,) if metric == _M.PREEMPTIONS_PER_REQUEST else ()


_GUARDED_BY = {
    _M.ERROR_RATIO: (_M.PROBE_FAILURE_RATIO, _M.GENERATION_TOKENS_RATE),
    _M.TTFT_P95_SECONDS: (_M.PROBE_TTFT_SECONDS, _M.REQUESTS_WAITING),
    _M.ITL_P95_SECONDS: (_M.SECONDS_PER_TOKEN, _M.PROBE_ITL_SECONDS),
    _M.PREEMPTIONS_PER_REQUEST: (_M.PAUSED_RATIO,),
}


def _standing_in(promised: Expectation, metric: VerificationMetric, context: PlanContext) -> Expectation:
    """The promise in terms of `metric`: as much of it, or at least what is proof where it goes the other way."""
    told = f"{metric_name(promised.metric)} is not told by {context.engine}, and this shows it: {promised.source}"
    if metric != _M.PREFIX_CACHE_HIT_RATIO:
        return promised.model_copy(update={"metric": metric, "source": told})
    least = 1 + context.verification.min_improvement
    most = max(least, 1 / promised.high) if promised.high else least
    return Expectation(metric=metric, direction=Direction.HIGHER, low=least, high=most, source=told)
