"""The step that a prediction goes by: fitted from the service's own history, else the roofline set to what is seen."""

from dataclasses import replace

from recommender.facts import ServiceFacts
from recommender.service_roofline import roofline_of
from recommender.sizing import NotApplicable
from recommender.sizing.fit import FittedStep
from recommender.sizing.load import EngineShape, StepModel, Workload
from recommender.sizing.predict import slowest
from recommender.sizing.ranges import STEP_ERROR, Steps, scaled
from recommender.sizing.roofline import Roofline, kappa

_KAPPA = (0.5, 4.0)  # tuning §2.2: 1.0-1.5 is healthy, above 2 host-bound; beyond these the facts are not this engine's
_ROOFLINE_ERROR = 0.10  # of a step by the roofline: its efficiencies are guesses, set by one point [guess]


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
    step = Steps.of(*scaled(models, ratio), error=_ROOFLINE_ERROR)
    return step, f"roofline of the model and GPU, times {ratio:.2f} to give the present ITL ({fitted.reason})"


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
    error = max(STEP_ERROR, fitted.median_error)
    if "gamma" not in fitted.unknown:
        return Steps.of(step, error=error), text
    if isinstance(roofline, NotApplicable):
        return NotApplicable(
            f"what a prompt token costs cannot be told from the last day ({fitted.unknown['gamma']}), nor from a "
            f"roofline: {roofline.reason}"
        )
    gamma = roofline.prefill_token_seconds(load.prompt_tokens)
    return Steps.of(replace(step, gamma_seconds=gamma), error=error), f"{text}; gamma {_time(gamma)} from the roofline"


def _time(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} µs"  # noqa: PLR2004 - a millisecond


def _terms(step: StepModel) -> tuple[float, float, float, float]:
    return step.alpha_seconds, step.beta_seconds, step.gamma_seconds, step.eta_seconds
