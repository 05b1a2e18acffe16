"""What a change of hardware, precision or speculation makes of an engine's step: fast, likely and slow ends.

A service's own step is scaled term by term: by the roofline of its model and GPU where that says what a term is made
of, and by the published effect where no roofline has it (tuning §2.2, §2.6, §2.7, P06). The two ends of what is
published are the two ends here. All figures are the time of a term after the change over that before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2

from recommender.gpus import Gpu
from recommender.sizing.load import StepModel
from recommender.sizing.parallelism import Parallelism, Traffic, scaling_efficiency
from recommender.sizing.ranges import Steps
from recommender.sizing.result import NotApplicable
from recommender.sizing.roofline import Roofline

ONE_MACHINE = 8  # GPUs that one machine has at most: nothing is published of tensor parallelism over a network
SPECULATION_ERROR = 0.15  # of the change that S is [guess]
FOUR_BITS = 4
_FADES = 0.25  # of the ridge batch: 4-bit weights are unpacked for each product (tuning §2.2)
_OF_TWICE = (0.55, 0.60, 0.65)  # of the time, twice the GPUs over NVLink: P06 no. 6 [G]
_GRAPHS = (1 / 1.5, 1 / 1.3, 1.0)  # of the time, graphs at the batch that runs: tuning §2.7


@dataclass(frozen=True, slots=True)
class Factor:
    """Time of one term after over before: at best, likely, at worst."""

    fast: float = 1.0
    likely: float = 1.0
    slow: float = 1.0

    @classmethod
    def among(cls, likely: float, *others: float) -> "Factor":
        """From the smallest to the largest of these."""
        return cls(min(likely, *others), likely, max(likely, *others))


@dataclass(frozen=True, slots=True)
class StepEffect:
    """What a change does to each term of `StepModel`, with where that is from."""

    alpha: Factor = Factor()
    beta: Factor = Factor()
    gamma: Factor = Factor()
    eta: Factor = Factor()
    source: str = ""

    def on(self, steps: Steps) -> Steps:
        """The step with the change."""
        fast, likely, slow = (
            tuple(self._scaled(model, end) for model in models)
            for end, models in (("fast", steps.fast), ("likely", steps.likely), ("slow", steps.slow))
        )
        return Steps(fast, likely, slow)

    def _scaled(self, model: StepModel, end: str) -> StepModel:
        return StepModel(
            model.alpha_seconds * getattr(self.alpha, end),
            model.beta_seconds * getattr(self.beta, end),
            model.gamma_seconds * getattr(self.gamma, end),
            model.eta_seconds * getattr(self.eta, end),
        )


def tensor_parallel(gpu: Gpu, degrees: tuple[int, int]) -> StepEffect | NotApplicable:
    """Each layer over more, or fewer, GPUs of one machine.

    With NVLink 0.55 to 0.65 of the time for twice the GPUs (P06 no. 6). Over PCIe what was measured there (§2.6):
    decode by the balanced figure, prompts by that of prefill, at worst all by the worse one, at best as over NVLink.
    What each request costs beside (beta) is the host's in part, and stays at worst.
    """
    old, new = degrees
    if max(degrees) > ONE_MACHINE:
        return NotApplicable(f"of more than {ONE_MACHINE} GPUs no figure is published: they are of several machines")
    doublings = log2(new / old)
    guess = Factor(*sorted(one**doublings for one in _OF_TWICE))
    if gpu.nvlink:
        each = Factor.among(_OF_TWICE[1] ** doublings, guess.fast, guess.slow)
        source = f"{gpu.name} with NVLink: 0.55 to 0.65 of the time for twice the GPUs (tuning P06 no. 6) [guess]"
        return StepEffect(each, _host(each), each, each, source)
    found = [_over_pcie(Parallelism.TENSOR, traffic, degrees) for traffic in (Traffic.BALANCED, Traffic.PREFILL)]
    reason = next((one.reason for one in found if isinstance(one, NotApplicable)), None)
    if reason is not None:
        return NotApplicable(reason)
    decode, prefill = (one for one in found if not isinstance(one, NotApplicable))
    each = Factor.among(decode, prefill, guess.fast, guess.slow)
    return StepEffect(
        each,
        _host(each),
        Factor.among(prefill, decode, guess.fast, guess.slow),
        each,
        f"{gpu.name} without NVLink: scaling measured over PCIe (tuning §2.6), at best as over NVLink (P06 no. 6)",
    )


def pipeline_parallel(degrees: tuple[int, int]) -> StepEffect | NotApplicable:
    """Some layers on each GPU: a token passes all of them, so alpha stays; each computes its part of the batch.

    At best nothing is lost between stages; at worst what was measured over PCIe (§2.6), and a prompt alone is no
    faster.
    """
    old, new = degrees
    lost = _over_pcie(Parallelism.PIPELINE, Traffic.BALANCED, degrees)
    if isinstance(lost, NotApplicable):
        return lost
    share = old / new
    # Of the time that an even split would take: what was gained beyond it came of the memory, which is counted apart.
    wait = max(1.0, lost / share) if new > old else min(1.0, lost / share)
    bubbles = Factor.among((1 + wait) / 2, 1.0, wait)
    part = Factor(share * bubbles.fast, share * bubbles.likely, share * bubbles.slow)
    return StepEffect(
        bubbles,
        part,
        Factor.among(part.likely, part.fast, part.slow, bubbles.slow if new > old else part.slow),
        part,
        "stages compute their part of the batch at once (tuning §2.6: what was kept of it over PCIe, at worst)",
    )


def _over_pcie(kind: Parallelism, traffic: Traffic, degrees: tuple[int, int]) -> float | NotApplicable:
    """Time at the second degree over that at the first: (n·efficiency)/(n'·efficiency')."""
    rates = []
    for degree in degrees:
        kept = scaling_efficiency(degree, kind, traffic, nvlink=False)
        if isinstance(kept, NotApplicable):
            return kept
        rates.append(degree * kept.value)
    return rates[0] / rates[1]


def _host(each: Factor) -> Factor:
    """Of a term that is the host's in part: unchanged at one end, as the device's at the other."""
    return Factor.among((1 + each.likely) / 2, 1.0, each.fast if each.likely < 1 else each.slow)


def speculation(speed_ups: tuple[float, float, float], source: str) -> StepEffect:
    """Tokens come `speed_ups` (at worst, likely, at best) times as fast; prompts are computed as before."""
    worst, likely, best = uncertain(speed_ups)
    each = Factor.among(1 / likely, 1 / worst, 1 / best)
    return StepEffect(alpha=each, beta=each, eta=each, source=source)


def uncertain(speed_ups: tuple[float, float, float]) -> tuple[float, float, float]:
    """Speed-ups with what the formula leaves open of the change that they are: k·c and v are no measurements."""
    worst, likely, best = speed_ups
    open_ = SPECULATION_ERROR * abs(likely - 1)
    return max(0.1 * likely, worst - open_), likely, best + open_


def graphs(old: float, new: float, running: float) -> StepEffect:
    """Graphs captured up to another batch: of use, or missed, where the batch that runs lies between the two."""
    if (old < running) is (new < running):
        return StepEffect(source=f"{running:.0f} requests run, on the same side of both sizes")
    fast, likely, slow = _GRAPHS if new > old else tuple(1 / one for one in reversed(_GRAPHS))
    each = Factor(fast, likely, slow)
    return StepEffect(
        alpha=each, beta=each, eta=each, source="graphs at the batch that runs gave up to 1.5 times (tuning §2.7)"
    )


@dataclass(frozen=True, slots=True)
class Published:
    """What is published of a type beside its bytes: time over that of 16 bits, at worst, and where that stands."""

    weights: float = 1.0
    prompts: float = 1.0
    kv: float = 1.0
    source: str = ""


# The pessimistic ends; the optimistic one is what the bytes and operations allow.
WEIGHTS: Mapping[int, Published] = {
    8: Published(weights=0.75, prompts=0.7, source="P06 no. 3: 0.6 to 0.75 of the time of a token; P05 no. 5"),
    4: Published(weights=0.6, source="P06 no. 3: 0.4 to 0.6 of the time of a token, to a batch of 16"),
}
KV = Published(weights=6.58 / 6.44, kv=0.80, source="tuning §2.2, §2.7: 0.54 to 0.80 of the time that reads KV")


def fewer_bits(ratio: float, published: float) -> Factor:
    """A term whose bytes or operations become `ratio`, of which at worst only `published` was gained, or is lost.

    The middle of the two is likely: what bytes allow was measured where it is largest (tuning §2.7).
    """
    if ratio == 1:
        return Factor()
    if ratio > 1:
        most = min(ratio, 1 / published)
        return Factor(most, (most + ratio) / 2, ratio)
    least = max(ratio, published)
    return Factor(ratio, (ratio + least) / 2, least)


def weights(
    before: Roofline, after: Roofline, bits: tuple[float, float], *, at: "Point", fitted: bool = True
) -> StepEffect:
    """Weights of another type: by what a step reads of them and by the arithmetic of prompts (§2.2, P06 no. 3).

    `bits` of a weight, before and after. What a request costs beside KV is the host's, for the most part, in a `fitted`
    step; in a roofline's it is arithmetic. Four bits gain nothing for certain from a quarter of the ridge batch on.
    """
    said = Published() if bits[0] == bits[1] else WEIGHTS[8 if min(bits) > FOUR_BITS else 4]
    (bytes_, arithmetic), (bytes_then, arithmetic_then) = (one.step_models(at.prompt_tokens) for one in (before, after))
    faded = min(bits) <= FOUR_BITS and at.running >= _FADES * bytes_.alpha_seconds / arithmetic.beta_seconds
    decode = arithmetic_then.beta_seconds / arithmetic.beta_seconds
    return StepEffect(
        alpha=fewer_bits(bytes_then.alpha_seconds / bytes_.alpha_seconds, 1.0 if faded else said.weights),
        beta=Factor() if fitted else Factor(decode, decode, decode),
        gamma=fewer_bits(arithmetic_then.gamma_seconds / arithmetic.gamma_seconds, said.prompts),
        source=f"roofline of the two types (tuning §2.2); at worst {said.source or 'nothing is gained'}",
    )


def kv_cache(before: Roofline, after: Roofline, step: StepModel, *, at: "Point") -> StepEffect:
    """A KV cache of another type: the part of a step that reads it (§2.2, §2.7).

    Where a fit could not tell that part, it is in what a request costs, as much of it as the roofline has.
    """
    old, new = (one.step_models()[0].eta_seconds for one in (before, after))
    if old == new:
        return StepEffect(source="the KV cache has this type already")
    each, beta = fewer_bits(new / old, KV.kv), Factor()
    if step.eta_seconds == 0 and step.beta_seconds > 0:
        share = min(1.0, old * at.held_tokens / step.beta_seconds)
        beta = Factor.among(
            1 - share * (1 - each.likely), 1.0, 1 - share * (1 - each.fast), 1 - share * (1 - each.slow)
        )
    alpha = Factor(slow=KV.weights) if new < old else Factor()
    return StepEffect(alpha=alpha, beta=beta, eta=each, source=f"roofline of the two types; {KV.source}")


@dataclass(frozen=True, slots=True)
class Point:
    """Where a change is looked at: requests that run, KV tokens that one holds, prompt tokens of a request."""

    running: float
    held_tokens: float
    prompt_tokens: float = 1.0
