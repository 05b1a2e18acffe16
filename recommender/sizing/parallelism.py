"""What more GPUs for one replica do: which degrees a model allows, what is kept of their throughput, what they hold.

Sources: tuning §2.1 (what a rank holds), §2.6 (scaling without NVLink, measured on PCIe), §2.7.
"""

from collections.abc import Mapping
from enum import StrEnum

from recommender.sizing.footprint import kv_pool_tokens
from recommender.sizing.model_facts import Attention, ModelFacts
from recommender.sizing.result import NotApplicable, Sized


class Parallelism(StrEnum):
    """How a model is divided over GPUs."""

    TENSOR = "tensor"  # each layer over all of them
    PIPELINE = "pipeline"  # some layers on each


class Traffic(StrEnum):
    """What the scaling was measured with: prompts and answers of about equal length, or prompts alone in effect."""

    BALANCED = "balanced"  # 1000 tokens in, 1000 out
    PREFILL = "prefill"  # 2048 in, 128 out


# Throughput of n GPUs together over n times that of one, RTX PRO 6000 over PCIe (tuning §2.6). Tensor: Qwen3-30B-A3B,
# pipeline: Llama-70B.
_OVER_PCIE: Mapping[tuple[Parallelism, Traffic], Mapping[int, float]] = {
    (Parallelism.TENSOR, Traffic.BALANCED): {2: 0.83, 4: 0.61, 8: 0.40},
    (Parallelism.TENSOR, Traffic.PREFILL): {2: 0.58, 4: 0.33, 8: 0.18},
    (Parallelism.PIPELINE, Traffic.BALANCED): {2: 1.04, 4: 0.83, 8: 0.57},
    (Parallelism.PIPELINE, Traffic.PREFILL): {2: 1.03, 4: 0.96, 8: 0.79},
}


def legal_tensor_parallel(model: ModelFacts, gpus: int) -> tuple[int, ...]:
    """Degrees up to `gpus` that divide the heads, and whose ranks have whole KV heads or copies of one.

    A latent vector is on every rank whatever the degree.
    """
    return tuple(
        degree
        for degree in range(1, gpus + 1)
        if model.heads % degree == 0
        and (model.attention is Attention.MLA or model.kv_heads % degree == 0 or degree % model.kv_heads == 0)
    )


def scaling_efficiency(degree: int, kind: Parallelism, traffic: Traffic, *, nvlink: bool) -> Sized | NotApplicable:
    """Throughput of `degree` GPUs as one replica over that of as many replicas of one GPU (§2.6).

    Published for PCIe alone, at 2, 4 and 8 GPUs; with NVLink, and between these, nobody printed a figure.
    """
    if degree == 1:
        return Sized(1.0, "one GPU", {"gpus": 1.0})
    if nvlink:
        return NotApplicable("no figure is published of GPUs with NVLink: more than over PCIe, to be measured")
    found = _OVER_PCIE[kind, traffic].get(degree)
    if found is None:
        return NotApplicable(f"no figure is published of {degree} GPUs; there are of 2, 4 and 8")
    return Sized(found, f"{kind} parallelism of {degree} over PCIe, {traffic} (tuning §2.6)", {"gpus": float(degree)})


def tokens_by_degree(
    model: ModelFacts,
    degrees: tuple[int, int],
    *,
    device_bytes: float,
    weight_dtype: str,
    kv_dtype: str,
    memory_fraction: float,
) -> Sized | NotApplicable:
    """KV tokens of a replica at the second degree over those at the first.

    More than the degrees' own ratio, for weights are divided as well: of GPUs that they nearly fill 13.9 times from
    one to two (tuning §2.1).
    """
    pools = [
        kv_pool_tokens(
            model,
            device_bytes=device_bytes,
            weight_dtype=weight_dtype,
            kv_dtype=kv_dtype,
            tensor_parallel=degree,
            memory_fraction=memory_fraction,
        )
        for degree in degrees
    ]
    first, second = pools
    if isinstance(first, NotApplicable):
        return NotApplicable(f"at {degrees[0]}: {first.reason}")
    if isinstance(second, NotApplicable):
        return NotApplicable(f"at {degrees[1]}: {second.reason}")
    return Sized(
        second.value / first.value,
        f"{second.value:,.0f}/{first.value:,.0f} tokens",
        {"before_tokens": first.value, "after_tokens": second.value},
    )
