"""What an engine tells of a knob that it runs with, and whether that agrees with what is configured."""

from recommender.knobs import Knob
from recommender.model import Evidence, KnobValue

# vLLM tells its memory fraction, not its batch limit.
_IN_NUMBERS = {
    "max_running_requests": "replica:llm_max_running_requests:engine",
    "max_batched_tokens": "replica:llm_max_batched_tokens",
    "max_model_length_tokens": "replica:llm_max_model_length_tokens",
    "kv_cache_memory_fraction": "replica:llm_kv_cache_memory_fraction",
    "tensor_parallel_size": "replica:llm_tensor_parallel_size",
}
_IN_WORDS = {"kv_cache_dtype": "kv_cache_dtype", "weight_quantization": "quantization"}
_ROUNDED = 0.001  # engines tell fractions with two or three digits
_MADE_OF_AUTO = frozenset({"fp32", "fp16", "bf16"})  # some engines tell what they made of "auto"


def told(knob: Knob, instance: str, evidence: Evidence) -> KnobValue | None:
    """What the engine tells of itself; None when it does not, or tells what the knob cannot have."""
    if signal := _IN_NUMBERS.get(knob.name):
        return knob.parse(evidence.value(signal, instance))
    fact = _IN_WORDS.get(knob.name)
    word = None if fact is None else evidence.fact(fact, instance)
    return None if word is None else knob.from_engine(word)


def told_as(knob: Knob) -> str:
    """The signal or the fact that it is told as."""
    return _IN_NUMBERS.get(knob.name) or _IN_WORDS.get(knob.name, "")


def agree(configured: KnobValue, said: KnobValue) -> bool:
    """Whether what is configured can be what the engine tells."""
    if isinstance(configured, str) or isinstance(said, str):
        return configured == said or (configured == "auto" and said in _MADE_OF_AUTO)
    return abs(configured - said) <= _ROUNDED * abs(configured)
