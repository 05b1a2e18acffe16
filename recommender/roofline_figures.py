"""What MFU and MBU are counted against: the inventory's `roofline`, else what a service's model and hardware give."""

from collections.abc import Mapping
from datetime import UTC, datetime

from recommender.facts import ServiceFacts, facts_of
from recommender.gpus import Gpu
from recommender.inventory import ServiceConfig
from recommender.model import Evidence
from recommender.sizing.dtypes import WEIGHT_DTYPES
from recommender.sizing.footprint import kv_bytes_per_token, model_weight_bytes

_NEVER = datetime.fromtimestamp(0, UTC)  # evidence of no instant: nothing but the inventory is asked


def roofline_figures(name: str, service: ServiceConfig) -> Mapping[str, float]:
    """Figures of one replica by name, as `RooflineConfig.facts` has them; empty where one of them is unknown.

    Without `roofline`, they are those of the model (by its configuration or the shipped table) on `hardware`, which the
    inventory has to name whole. Of a mixture of experts a step reads as many as its batch hits: that has to be told.
    """
    if service.roofline is not None:
        return service.roofline.facts()
    return _derived(facts_of(service, Evidence(service=name, at=_NEVER)))


def _derived(facts: ServiceFacts) -> Mapping[str, float]:
    model, gpu, count, ranks = facts.model, facts.gpu, facts.gpus_per_replica, facts.tensor_parallel
    if model is None or gpu is None or count is None or ranks is None:
        return {}
    if facts.weight_dtype is None or facts.kv_dtype is None or model.experts:
        return {}
    arithmetic = _arithmetic(facts.weight_dtype, gpu)
    if arithmetic not in gpu.flops:
        return {}
    return {
        "active_parameters": model.active_parameters,
        "weight_bytes": model_weight_bytes(model, facts.weight_dtype),
        "kv_bytes_per_token": ranks * kv_bytes_per_token(model, facts.kv_dtype, tensor_parallel=ranks),
        "flops_per_second": count * gpu.flops[arithmetic],
        "bytes_per_second": count * gpu.bytes_per_second,
    }


def _arithmetic(weight_dtype: str, gpu: Gpu) -> str:
    """What products are computed in; a word that is no GPU's where the weights' type leaves it open."""
    if weight_dtype == "fp8":
        return "fp8" if gpu.fp8 else "fp16"
    if weight_dtype in {"int8", "fp32"}:
        return "unknown"  # INT8 weights come with INT8 and with 16-bit activations
    if weight_dtype in {"nvfp4", "mxfp4"} and gpu.fp4:
        return "fp4"
    return "fp16" if weight_dtype in WEIGHT_DTYPES else "unknown"
