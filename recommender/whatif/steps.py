"""The step that a prediction goes by: fitted from the service's own history, else the roofline set to what is seen."""

from collections.abc import Mapping
from dataclasses import replace

from recommender.facts import ServiceFacts
from recommender.model import KnobValue
from recommender.sizing import NotApplicable
from recommender.sizing.dtypes import KV_DTYPES, WEIGHT_DTYPES
from recommender.sizing.fit import FittedStep
from recommender.sizing.footprint import kv_bytes_per_token, model_weight_bytes
from recommender.sizing.load import EngineShape, StepModel, Workload
from recommender.sizing.predict import slowest
from recommender.sizing.roofline import Roofline, efficiency, kappa

_KAPPA = (0.5, 4.0)  # tuning §2.2: 1.0-1.5 is healthy, above 2 host-bound; beyond these the facts are not this engine's
Steps = tuple[StepModel, ...]  # each a floor of the step's time: the slowest one holds


def roofline_of(facts: ServiceFacts) -> Roofline | NotApplicable:
    """The roofline of one replica; NotApplicable names what is unknown."""
    model, gpu, ranks = facts.model, facts.gpu, facts.tensor_parallel
    if model is None or gpu is None or ranks is None or facts.weight_dtype is None or facts.kv_dtype is None:
        return NotApplicable("the model, the GPU, their types or the tensor parallelism is unknown")
    if facts.weight_dtype not in WEIGHT_DTYPES or facts.kv_dtype not in KV_DTYPES:
        return NotApplicable(f"{facts.weight_dtype} weights with {facts.kv_dtype} KV are in no table")
    arithmetic = facts.weight_dtype if facts.weight_dtype in gpu.flops else "fp16"
    return Roofline(
        bytes_per_second=ranks * gpu.bytes_per_second,
        flops_per_second=ranks * gpu.flops[arithmetic],
        weight_bytes=model_weight_bytes(model, facts.weight_dtype),
        active_parameters=model.active_parameters,
        kv_bytes_per_token=ranks * kv_bytes_per_token(model, facts.kv_dtype, tensor_parallel=ranks),
        attention_width=float(model.full_layers * model.heads * model.head_dim),
        efficiency=efficiency(gpu.compute_capability, facts.kv_dtype, model.parameters),
    )


def steps_of(
    fitted: FittedStep | NotApplicable,
    facts: ServiceFacts,
    shape: EngineShape,
    load: Workload,
    observed_itl_seconds: float | None,
) -> tuple[Steps, str] | NotApplicable:
    """The step as it is now and where it is from.

    A fit that could not tell gamma takes it from the roofline; without facts it stays unknown, and so does the step:
    prompts that cost nothing would make every prediction too good.
    """
    roofline = roofline_of(facts)
    if isinstance(fitted, FittedStep):
        return _completed(fitted, roofline, load)
    if isinstance(roofline, NotApplicable):
        return NotApplicable(f"no step can be fitted ({fitted.reason}) and no roofline drawn ({roofline.reason})")
    if observed_itl_seconds is None or observed_itl_seconds <= 0:
        return NotApplicable(
            f"no step can be fitted ({fitted.reason}), and the present ITL, to set the roofline by, is unknown"
        )
    models = roofline.step_models(load.prompt_tokens)
    try:
        ratio = kappa(observed_itl_seconds, slowest(shape, models, load).itl_mean_seconds)
    except (ValueError, ZeroDivisionError):
        return NotApplicable("the load does not fit this engine as its facts describe it")
    if not _KAPPA[0] <= ratio <= _KAPPA[1]:
        return NotApplicable(
            f"ITL is {ratio:.2g} times what the roofline of {facts.gpu.name if facts.gpu else 'the GPU'} allows: the "
            "facts are not those of what runs, or the engine is held up by its host"
        )
    scaled = tuple(StepModel(*(ratio * term for term in _terms(model))) for model in models)
    return scaled, f"roofline of the model and GPU, times {ratio:.2f} to give the present ITL ({fitted.reason})"


def _completed(
    fitted: FittedStep, roofline: Roofline | NotApplicable, load: Workload
) -> tuple[Steps, str] | NotApplicable:
    step = fitted.step
    told = ", ".join(
        f"{name} {_time(value)}"
        for name, value in zip(("alpha", "beta", "gamma", "eta"), _terms(step), strict=True)
        if value > 0
    )
    text = (
        f"{told}; fitted to {fitted.points} points of the last day, half of them within "
        f"{100 * fitted.median_error:.1f} %"
    )
    if "gamma" not in fitted.unknown:
        return (step,), text
    if isinstance(roofline, NotApplicable):
        return NotApplicable(
            f"what a prompt token costs cannot be told from the last day ({fitted.unknown['gamma']}), nor from a "
            f"roofline: {roofline.reason}"
        )
    gamma = roofline.prefill_token_seconds(load.prompt_tokens)
    return (replace(step, gamma_seconds=gamma),), f"{text}; gamma {_time(gamma)} from the roofline"


def after_types(steps: Steps, before: ServiceFacts, after: ServiceFacts, load: Workload) -> Steps | NotApplicable:
    """The step with other types of weights or KV: each term times what the roofline makes of the two."""
    old, new = roofline_of(before), roofline_of(after)
    if isinstance(old, NotApplicable) or isinstance(new, NotApplicable):
        return old if isinstance(old, NotApplicable) else new  # type: ignore[return-value]  # one of them is
    pairs = list(zip(old.step_models(load.prompt_tokens), new.step_models(load.prompt_tokens), strict=True))
    if len(steps) == len(pairs):
        return tuple(
            StepModel(*(_scaled(*terms) for terms in zip(_terms(step), _terms(ours), _terms(theirs), strict=True)))
            for step, (ours, theirs) in zip(steps, pairs, strict=True)
        )
    (by_bytes, by_bytes_new), (by_arithmetic, by_arithmetic_new) = pairs
    ratios = (
        by_bytes_new.alpha_seconds / by_bytes.alpha_seconds,
        1.0,  # what the batch costs beside KV is the host's, for the most part
        by_arithmetic_new.gamma_seconds / by_arithmetic.gamma_seconds,
        by_bytes_new.eta_seconds / by_bytes.eta_seconds,
    )
    return tuple(StepModel(*(term * ratio for term, ratio in zip(_terms(step), ratios, strict=True))) for step in steps)


def facts_after(
    facts: ServiceFacts, changes: Mapping[str, KnobValue], kv_dtype: str | None, weights: str | None
) -> ServiceFacts:
    """The facts with the types that the changes set."""
    if "kv_cache_dtype" in changes:
        facts = replace(facts, kv_dtype=kv_dtype)
    return replace(facts, weight_dtype=weights) if "weight_quantization" in changes else facts


def _time(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} µs"  # noqa: PLR2004 - a millisecond


def _terms(step: StepModel) -> tuple[float, float, float, float]:
    return step.alpha_seconds, step.beta_seconds, step.gamma_seconds, step.eta_seconds


def _scaled(term: float, old: float, new: float) -> float:
    return term * new / old if old > 0 else term
