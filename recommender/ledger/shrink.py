"""Published range + the site's own results -> what to expect here. Pure.

**The prior.** An expectation's range is read as the central 90 % of a normal distribution of the *log* ratio: effects
multiply, so halving and doubling are equally far from nothing. Its spread is `ln(high/low) / 3.29`. Its middle is
`mid` where the playbook gives one; else half of the mid-range of the logs where that is a gain, because published
gains are headlines (tuning §9 no. 8), and all of it where it is a loss, because nobody advertises those.

**The site.** A playbook's effect is nested: common to the playbook, an engine's, a GPU's of that engine, and a single
rollout's. With `k = prior_weight` the range's variance is `V + k·V`: `V` is what is not known of the mean effect on
this engine and GPU, shared out over the three levels; `k·V` is how rollouts differ from each other; the standard error
of a measurement adds to that. `pooling` gives each group of results its weight, and the prior the rest. Alone on one
engine and GPU and measured without error, n results weigh `n / (n + k)`; those of other engines never more than half.

**The result.** `mid` is the weighted mean; `low` and `high` are weighted likewise, of the prior's ends and of the
worst and best that each group measured. Weights depend on how many results there are and how sure each is, never on
what they say. So a better result never makes the answer worse, nothing lies outside prior and results taken together,
their order does not matter, and without results the answer is the prior itself.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from recommender.ledger.model import LedgerConfig, SiteResult
from recommender.ledger.pooling import Leaf, Levels, leaf_weights
from recommender.model import Direction, Expectation

RATIO_LEAST, RATIO_MOST = 0.01, 100.0  # beyond these a ratio says "none left": its logarithm would have no end
_RANGE_SIGMAS = 2 * 1.645  # the range is the central 90 %
_SPREAD_LEAST = 0.05  # of a range without width: nothing published is surer than that
_GAIN_MOST = math.log(2)  # gains of different metrics are compared: what halves is good enough
_SAME_ENGINE, _SAME_PLAYBOOK = 0.5, 0.25  # what a success elsewhere counts here


@dataclass(frozen=True, slots=True)
class SiteEffects:
    """A site's results. Empty, it corrects nothing and ranks nothing."""

    results: Sequence[SiteResult] = ()
    config: LedgerConfig = field(default_factory=LedgerConfig)

    def correct(self, playbook: str, engine: str, gpu: str | None, expectation: Expectation) -> Expectation:
        """`expectation` as this site's results correct it, with `mid` always known.

        `gpu` None means that it is not known: results of every GPU then count as those of another one. Without
        results of this playbook and metric the range is given back as it came. So is one that is no range.
        """
        prior = _prior(expectation)
        if prior is None:
            return expectation
        groups = self._groups(playbook, engine, gpu, expectation.metric, prior.variance)
        if not groups:
            return expectation.model_copy(update={"mid": _mid(expectation, prior)})
        own = max(0.0, 1 - math.fsum(group.weight for group in groups))

        def blend(of_prior: float, of_groups: Iterable[float]) -> float:
            weighted = [(group.weight, value) for group, value in zip(groups, of_groups, strict=True)]
            return _ratio(_blend([(own, of_prior), *weighted]))

        least, most = [group.least for group in groups], [group.most for group in groups]
        worst, best = (least, most) if expectation.direction is Direction.HIGHER else (most, least)
        count = sum(group.count for group in groups)
        here = f"{count} {'rollout' if count == 1 else 'rollouts'} at this site"
        return expectation.model_copy(
            update={
                "low": blend(prior.low, worst),
                "mid": blend(prior.mid, [group.mean for group in groups]),
                "high": blend(prior.high, best),
                "source": f"{expectation.source}; corrected by {here}, with a weight of {1 - own:.0%}",
            }
        )

    def rank_key(self, playbook: str, engine: str, gpu: str | None, expectation: Expectation) -> float:
        """What to sort changes of one risk class by, the least first.

        `expectation` is of the promised metric, corrected already. Minus the lower bound of its benefit: the gain
        times successes / (rollouts + k), less failures / (rollouts + k) times what a failure costs. Without results
        it is exactly 0, so that a stable sort keeps the safety order: what was proven here comes first, what failed
        here last, the unknown in between.
        """
        won, lost = self._record(playbook, engine, gpu, expectation.metric)
        total = won + lost + self.config.prior_weight
        prior = _prior(expectation)
        gain = 0.0 if prior is None else _gain(prior.mid, expectation.direction)
        benefit = won / total * min(max(gain, 0.0), _GAIN_MOST) - lost / total * self.config.failure_cost
        return 0.0 - benefit  # no minus zero

    def _groups(self, playbook: str, engine: str, gpu: str | None, metric: str, spread: float) -> list["_Group"]:
        """This playbook's results by engine and GPU, each group with its weight; `spread` is the range's variance."""
        found: dict[Leaf, list[SiteResult]] = {}
        for result in self.results:
            if (result.playbook, result.metric) == (playbook, metric) and math.isfinite(result.ratio):
                found.setdefault((result.engine, result.gpu), []).append(result)
        unknown = spread / (1 + self.config.prior_weight)
        levels = Levels(
            common=unknown * (1 - self.config.engine_share - self.config.gpu_share),
            engine=unknown * self.config.engine_share,
            gpu=unknown * self.config.gpu_share,
        )
        precisions = {
            leaf: [self._precision(result, unknown * self.config.prior_weight) for result in results]
            for leaf, results in found.items()
        }
        variances = {leaf: 1 / math.fsum(each) for leaf, each in sorted(precisions.items(), key=_order)}
        weights = leaf_weights(variances, levels, engine, gpu)
        return [_group(found[leaf], precisions[leaf], weights[leaf]) for leaf in variances]

    def _precision(self, result: SiteResult, between_rollouts: float) -> float:
        known = result.sigma is not None and math.isfinite(result.sigma)
        sigma = result.sigma if known and result.sigma is not None else self.config.sigma_unknown
        return 1 / (between_rollouts + max(sigma, self.config.sigma_least) ** 2)

    def _record(self, playbook: str, engine: str, gpu: str | None, metric: str) -> tuple[float, float]:
        """Successes and failures of this playbook on its promised metric; those elsewhere count less."""
        won: list[float] = []
        lost: list[float] = []
        for result in self.results:
            if (result.playbook, result.metric) == (playbook, metric) and result.succeeded is not None:
                counts = _SAME_ENGINE if result.engine == engine else _SAME_PLAYBOOK
                if gpu is not None and (result.engine, result.gpu) == (engine, gpu):
                    counts = 1.0
                (won if result.succeeded else lost).append(counts)
        return math.fsum(won), math.fsum(lost)


@dataclass(frozen=True, slots=True)
class _Prior:
    """A range in logs. `variance` is that of the whole range."""

    low: float
    mid: float
    high: float
    variance: float


@dataclass(frozen=True, slots=True)
class _Group:
    """Results of one engine and GPU, in logs."""

    count: int
    mean: float
    least: float
    most: float
    weight: float


def _prior(expectation: Expectation) -> _Prior | None:
    """None where an end of the range is no ratio."""
    known = [one for one in (expectation.low, expectation.mid, expectation.high) if one is not None]
    if not all(math.isfinite(one) and one >= 0 for one in known):
        return None
    low, high = _log(expectation.low), _log(expectation.high)
    if expectation.mid is not None:
        mid = _log(expectation.mid)
    else:
        middle = (low + high) / 2
        discounted = middle / 2 if _gain(middle, expectation.direction) > 0 else middle
        mid = min(max(discounted, min(low, high)), max(low, high))
    return _Prior(low, mid, high, max(abs(high - low) / _RANGE_SIGMAS, _SPREAD_LEAST) ** 2)


def _mid(expectation: Expectation, prior: _Prior) -> float:
    """The prior's middle as a ratio; within the range also where that is beyond what has a logarithm here."""
    if expectation.mid is not None:
        return expectation.mid
    ends = (expectation.low, expectation.high)
    return min(max(_ratio(prior.mid), min(ends)), max(ends))


def _group(results: Sequence[SiteResult], precisions: Sequence[float], weight: float) -> _Group:
    logs = [_log(result.ratio) for result in results]
    return _Group(len(logs), _blend(list(zip(precisions, logs, strict=True))), min(logs), max(logs), weight)


def _order(item: tuple[Leaf, object]) -> tuple[str, bool, str]:
    (engine, gpu), _ = item
    return engine, gpu is not None, gpu or ""


def _blend(parts: Sequence[tuple[float, float]]) -> float:
    """Weighted mean of (weight, value), of the same bits in any order, and never outside the values by rounding."""
    total = math.fsum(weight for weight, _ in parts)
    mean = math.fsum(weight * value for weight, value in parts) / total
    return min(max(mean, min(value for _, value in parts)), max(value for _, value in parts))


def _gain(log_ratio: float, direction: Direction) -> float:
    """A log ratio as a gain: above 0 is better."""
    return log_ratio if direction is Direction.HIGHER else -log_ratio


def _log(ratio: float) -> float:
    return math.log(min(max(ratio, RATIO_LEAST), RATIO_MOST))


def _ratio(log_ratio: float) -> float:
    """Back from the logarithm, to four digits that mean something."""
    return float(f"{math.exp(log_ratio):.4g}")
