"""Whether a step's token budget may become smaller than a prompt: only where prompts are computed in pieces."""

from recommender.model import KnobValue
from recommender.playbooks.base import PlanContext


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
