"""The roofline of one replica of a service, from what is known of its model and GPUs."""

from recommender.facts import ServiceFacts
from recommender.sizing import NotApplicable
from recommender.sizing.dtypes import KV_DTYPES, WEIGHT_DTYPES
from recommender.sizing.footprint import kv_bytes_per_token, model_weight_bytes
from recommender.sizing.roofline import Roofline, efficiency


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
