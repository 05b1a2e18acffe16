"""Whether a step's token budget may become smaller than a prompt, and whether steps ever compute so many tokens."""

from recommender.figures import figure
from recommender.model import Evidence, KnobValue
from recommender.playbooks.base import PlanContext

_PROMPT = "replica:llm_request_prompt_tokens:mean_5m"
_RUNNING = "replica:llm_requests_running:avg2m"
_STEP = "replica:llm_step_tokens:mean_5m"
_TAIL = ("replica:llm_itl_seconds:p99_5m", "replica:llm_itl_seconds:p50_5m")


def too_small(budget: float, instances: tuple[str, ...], context: PlanContext) -> str:
    """Why prompts may not fit into a step of so many tokens; empty when nothing known speaks against it.

    Without chunked prefill the longest prompt has to fit: vLLM does not start else, TensorRT-LLM refuses the prompt.
    """
    longest = context.tuning.longest_request_tokens
    whole = next((one for one in instances if _chunked(one, context) is False), None)
    if whole is None or (longest is not None and longest <= budget):
        return ""
    known = "how long that is, is unknown" if longest is None else f"that has up to {longest} tokens"
    return (
        f"{whole} does not compute prompts in pieces, so the longest must fit into a step, and {known} "
        f"(services.{context.service}.tuning.longest_request_tokens): chunked prefill first"
    )


def _chunked(instance: str, context: PlanContext) -> KnobValue | None:
    """Whether prompts are computed in pieces: as configured, else as the engine does by itself; None when unknown."""
    configured, knob = context.configured("chunked_prefill", instance), context.knob("chunked_prefill")
    return knob.default_on() if configured is None and knob is not None else configured


def out_of_reach(budget: float, instance: str, evidence: Evidence, context: PlanContext) -> str:
    """Why a budget of so many tokens is not known to make this replica's steps shorter; empty where it does.

    It does where a mean prompt is cut by it, where a mean step is about as large, or where the longest gaps between
    tokens are so much longer than the middle one that only prompts make them (tuning B05). Steps that are slow with few
    tokens in them stay as slow.
    """
    prompt, running, step = (evidence.value(name, instance) for name in (_PROMPT, _RUNNING, _STEP))
    late, middle = (evidence.value(name, instance) for name in _TAIL)
    high = evidence.thresholds.get("itl_tail_high_ratio")
    cut = None if prompt is None or running is None else prompt + running > budget
    full = None if step is None else step >= context.tuning.step_full_ratio * budget
    stalled = None if late is None or not middle or high is None else late >= high * middle
    if cut or full or stalled:
        return ""
    if cut is full is stalled is None:
        return f"whether steps of {instance} compute more than {budget:g} tokens is unknown"
    return (
        f"steps of {instance} are not known to compute {budget:g} tokens (on average {figure(step)}, of prompts "
        f"of {figure(prompt, 'tokens')}): a smaller budget would not make them shorter"
    )
