"""The models against the figures that tuning.md §2 publishes. A tolerance that is wide says why."""

import math

import pytest

from recommender.gpus import GPUS
from recommender.sizing.load import EngineShape, StepModel, Workload
from recommender.sizing.predict import predict, slowest
from recommender.sizing.prefix import offload_gain, ttft_ratio
from recommender.sizing.queueing import erlang_c, little, mmc_wait_seconds, sakasegawa_wait_seconds
from recommender.sizing.replicas import (
    decode_pool,
    prefill_pool,
    replicas_by_little,
    replicas_by_tokens,
    replicas_for_objectives,
)
from recommender.sizing.result import NotApplicable, Sized
from recommender.sizing.roofline import (
    CALIBRATIONS,
    MEASURED,
    Calibration,
    Efficiency,
    Roofline,
    efficiency,
    kappa,
    ridge_batch,
)
from recommender.sizing.speculation import Advice, advise, speed_up, tokens_per_verify

PARAMETERS = 8.03e9  # Llama-3.1-8B
KV_BF16 = 131_072.0  # 2·32·8·128·2 bytes a token
WIDTH = 32 * 32 * 128.0
H100 = GPUS["h100_sxm"]


def llama_8b(share: Efficiency) -> Roofline:
    """8B in BF16 on one H100."""
    return Roofline(H100.bytes_per_second, H100.flops["fp16"], 2 * PARAMETERS, PARAMETERS, KV_BF16, efficiency=share)


@pytest.mark.parametrize(
    ("fit", "weights", "kv"),
    list(zip(CALIBRATIONS, (0.74, 0.73, 0.51, 0.51), (0.90, 0.83, 0.91, 0.84), strict=True)),
)
def test_calibrations_give_the_published_efficiencies(fit: Calibration, weights: float, kv: float) -> None:
    bandwidth = GPUS[fit.gpu].bytes_per_second
    bytes_per_token = KV_BF16 / (2 if fit.kv_dtype == "fp8" else 1)
    assert fit.weights_efficiency(2 * PARAMETERS, bandwidth) == pytest.approx(weights, abs=0.01)
    assert fit.kv_efficiency(bytes_per_token, bandwidth) == pytest.approx(kv, abs=0.01)


@pytest.mark.parametrize(
    ("batch", "milliseconds", "tokens"),
    [
        (1, 6.5, 153),
        (4, 6.7, 594),
        (16, 7.5, 2100),
        (32, 8.6, 3700),
        (64, 10.7, 6000),
        (128, 14.8, 8600),
        (256, 23, 11000),
    ],
)
def test_the_batch_curve_of_8b_on_an_h100(batch: int, milliseconds: float, tokens: float) -> None:
    curve = llama_8b(Efficiency(weights=0.74, kv=0.90))
    assert 1000 * curve.decode_seconds(batch, 1500) == pytest.approx(milliseconds, rel=0.02)
    assert curve.tokens_per_second(batch, 1500) == pytest.approx(tokens, rel=0.03)


def test_defaults_follow_the_generation_the_kv_type_and_the_size_of_the_model() -> None:
    assert efficiency(9.0, "bf16", PARAMETERS) == Efficiency(0.70, 0.88)
    assert efficiency(10.0, "fp8_e4m3", PARAMETERS) == Efficiency(0.50, 0.83)
    assert efficiency(9.0, "bf16", 70e9).weights == 0.80
    h200 = GPUS["h200"]
    assert MEASURED[0].bytes_per_second / h200.bytes_per_second == pytest.approx(0.90, abs=0.01)
    assert MEASURED[0].bf16_flops / h200.flops["fp16"] == pytest.approx(0.80, abs=0.01)


@pytest.mark.parametrize(
    ("gpu", "published"),
    [
        ("h100_sxm", 295),
        ("h200", 206),
        ("a100_80gb", 153),
        ("l40s", 419),
        ("l4", 403),
        ("a10g", 117),
        ("rtx_4090", 164),
        ("b200", 281),
    ],
)
def test_ridge_batches(gpu: str, published: float) -> None:
    found = ridge_batch(GPUS[gpu].flops["fp16"], GPUS[gpu].bytes_per_second)
    assert found == pytest.approx(published, abs=1)
    assert ridge_batch(GPUS[gpu].flops["fp16"], GPUS[gpu].bytes_per_second, 0.5) == pytest.approx(found / 4)


def test_a_prompt_token_of_8b_takes_32_microseconds_and_a_chunk_of_1200_fits_50_ms() -> None:
    roofline = llama_8b(Efficiency())
    assert roofline.prefill_token_seconds() == pytest.approx(32e-6, rel=0.02)
    assert 1 / roofline.prefill_token_seconds() == pytest.approx(31_000, rel=0.02)
    batch = next(b for b in range(1, 300) if roofline.decode_seconds(b, 1500) >= 0.012)
    assert roofline.largest_chunk(0.050, batch, 1500) == pytest.approx(1200, rel=0.03)
    assert roofline.largest_chunk(0.001, batch, 1500) == 0.0


def test_the_square_part_of_a_prompt_grows_and_a_cached_beginning_is_not_computed() -> None:
    roofline = Roofline(
        H100.bytes_per_second, H100.flops["fp16"], 2 * PARAMETERS, PARAMETERS, KV_BF16, attention_width=WIDTH
    )
    assert roofline.prefill_seconds(20_000) > 10 * roofline.prefill_seconds(2000)
    assert roofline.prefill_seconds(2000, 2000) == 0.0
    assert roofline.prefill_seconds(2000) == pytest.approx(
        roofline.prefill_seconds(1000) + roofline.prefill_seconds(2000, 1000)
    )


def test_offload_from_host_memory_is_12_times_cheaper_and_from_an_ssd_hardly_worth_it() -> None:
    token = llama_8b(Efficiency()).prefill_token_seconds()
    host, disk = offload_gain(KV_BF16, 50e9, token), offload_gain(KV_BF16, 6.5e9, token)
    assert isinstance(host, Sized)
    assert isinstance(disk, Sized)
    assert host.value == pytest.approx(12, abs=0.5)
    assert 1 < disk.value < 2
    assert isinstance(offload_gain(None, 50e9, token), NotApplicable)


def test_ttft_of_cached_prompts_falls_by_what_is_not_computed() -> None:
    half = ttft_ratio(0.0, 0.5, 2000, 32e-6)
    assert isinstance(half, Sized)
    assert half.value == pytest.approx(0.5)
    queued = ttft_ratio(0.0, 0.5, 2000, 32e-6, other_seconds=0.064)
    assert isinstance(queued, Sized)
    assert queued.value == pytest.approx(0.75)
    assert isinstance(ttft_ratio(None, 0.5, 2000, 32e-6), NotApplicable)


LLAMA_8B_FP8 = (PARAMETERS, KV_BF16 / 2, WIDTH)  # parameters, KV bytes a token, layers·heads·head_dim
LLAMA_70B_FP8 = (70.6e9, 163_840.0, 80 * 64 * 128.0)


def _at_infinite_load(
    gpu: str, model: tuple[float, float, float], kv_tokens: float, prompt: float, output: float
) -> float:
    """Output tokens per second, weights, KV and products in FP8, as TensorRT-LLM was measured."""
    hardware, (parameters, kv_bytes, width) = GPUS[gpu], model
    roofline = Roofline(
        hardware.bytes_per_second,
        hardware.flops["fp8"],
        parameters,
        parameters,
        kv_bytes,
        width,
        efficiency(hardware.compute_capability, "fp8", parameters),
    )
    load = Workload(prompt, output, clients=1e5)
    shape = EngineShape(2048, 8192, kv_tokens, 32, reserves_answers=True)  # its default policy
    return slowest(shape, roofline.step_models(prompt), load).tokens_per_second


# Kernels and their version are the vendor's, and its batch is not told: the roofline knows none of them. 20 % either
# way for the small model; 35 % for 70B, whose weights fill the GPU and leave 18 requests of the longest prompts.
SMALL, LARGE = 0.20, 0.35


@pytest.mark.parametrize(
    ("prompt", "output", "h100", "h200"),
    [
        (128, 2048, 22_714, 26_221),
        (1000, 1000, 15_220, 17_744),
        (2048, 128, 3450, 3538),
        (5000, 500, 3459, 3902),
        (20_000, 2000, 1351, 1804),
    ],
)
def test_published_throughput_of_8b_fp8(prompt: int, output: int, h100: float, h200: float) -> None:
    # Pools of §2.1: 0.9 of 80 and 141 GB less weights and 3 GB, at 64 KiB a token.
    for gpu, kv_tokens, published in (("h100_sxm", 914_000, h100), ("h200", 1_770_000, h200)):
        found = _at_infinite_load(gpu, LLAMA_8B_FP8, kv_tokens, prompt, output)
        assert found == pytest.approx(published, rel=SMALL), (gpu, found, published)


@pytest.mark.parametrize(
    ("prompt", "output", "published"),
    [(128, 2048, 4336), (1000, 1000, 2909), (2048, 128, 442), (5000, 500, 566), (20_000, 2000, 283)],
)
def test_published_throughput_of_70b_fp8_on_one_h200(prompt: int, output: int, published: float) -> None:
    found = _at_infinite_load("h200", LLAMA_70B_FP8, 317_000, prompt, output)
    assert found == pytest.approx(published, rel=LARGE), found


def test_half_of_the_most_tokens_come_at_a_batch_of_alpha_over_beta() -> None:
    step = StepModel(0.02058, 0.00041)  # §2.3, A100
    most = 1 / step.beta_seconds
    knee = step.alpha_seconds / step.beta_seconds
    assert knee / step.seconds(knee) == pytest.approx(most / 2)


def test_littles_law_and_replicas_of_a_load() -> None:
    # 20 requests/s of 0.1 s of prompt and 300 tokens of 20 ms, 64 slots used at 0.7: 122 in the engines.
    seconds = 0.1 + 300 * 0.020
    assert little(20, seconds) == pytest.approx(122)
    by_little = replicas_by_little(20, seconds, 64)
    assert isinstance(by_little, Sized)
    assert by_little.value == math.ceil(122 / (0.7 * 64)) == 3
    by_tokens = replicas_by_tokens(20 * 300, 2240)
    assert isinstance(by_tokens, Sized)
    assert by_tokens.value == 3
    assert isinstance(replicas_by_little(None, 1, 1), NotApplicable)
    assert isinstance(replicas_by_tokens(10, None), NotApplicable)
    # §2.4's anchor: 15.5 k prompt tokens/s a GPU.
    assert prefill_pool(20, 4000, 15_500).value == 6
    assert prefill_pool(20, 4000, 15_500, correction=0.5).value == 3
    assert decode_pool(20, 300, 1000, 2).value == 3


def test_replicas_for_objectives_meet_them_and_one_less_does_not() -> None:
    shape, step = EngineShape(32, 2048, 200_000), StepModel(0.02, 0.0004, 0.00003)
    load = Workload(400, 100, arrivals_per_second=30)
    sized = replicas_for_objectives(shape, step, load, itl_p95_seconds=0.030)
    assert isinstance(sized, Sized)

    def itl(replicas: float) -> float:
        return predict(shape, step, Workload(400, 100, arrivals_per_second=30 / replicas)).itl_p95_seconds

    assert itl(sized.value) <= 0.030 < itl(sized.value - 1)
    assert isinstance(replicas_for_objectives(shape, step, load, itl_p95_seconds=0.001), NotApplicable)
    assert isinstance(replicas_for_objectives(shape, step, Workload(1, 1, clients=3)), NotApplicable)


def test_queues_of_one_server_and_of_many() -> None:
    assert erlang_c(1, 0.5) == pytest.approx(0.5)
    assert erlang_c(10, 8) == pytest.approx(0.409, abs=0.001)  # a textbook's table
    assert erlang_c(2, 2) == 1.0
    assert mmc_wait_seconds(0.5, 1.0, 1) == pytest.approx(1.0)
    assert mmc_wait_seconds(2.0, 1.0, 1) is None
    # Sakasegawa is exact for one server, and near Erlang for many.
    assert sakasegawa_wait_seconds(0.5, 1.0, 1) == pytest.approx(1.0)
    assert sakasegawa_wait_seconds(0.8, 1.0, 10) == pytest.approx(mmc_wait_seconds(8.0, 1.0, 10), rel=0.1)
    assert sakasegawa_wait_seconds(0.5, 1.0, 1, cv_service=0.0) == pytest.approx(0.5)
    assert sakasegawa_wait_seconds(1.0, 1.0, 4) is None


def test_with_64_slots_a_queue_is_negligible_until_nine_tenths() -> None:
    service = 5.0
    at = {rho: sakasegawa_wait_seconds(rho, service, 64) for rho in (0.5, 0.8, 0.9, 0.98)}
    assert all(wait is not None for wait in at.values())
    shares = {rho: (wait or 0.0) / service for rho, wait in at.items()}
    assert shares[0.8] < 0.01
    assert shares[0.9] < 0.06
    assert shares[0.98] > 0.5


def test_speculation_pays_at_a_small_batch_and_costs_at_a_large_one() -> None:
    # §2.7: 2.36x at B=1 for EAGLE-3, 1.4-1.8x slower at high QPS.
    assert tokens_per_verify(0.7, 3) == pytest.approx((1 - 0.7**4) / 0.3)
    assert tokens_per_verify(1.0, 3) == 4.0
    alone, crowded = (speed_up(0.7, 3, running, 295, draft_cost=0.02) for running in (1, 256))
    assert isinstance(alone, Sized)
    assert isinstance(crowded, Sized)
    assert 2.0 < alone.value < 2.6
    assert crowded.value == pytest.approx(1 / 1.4, abs=0.06)
    assert (advise(alone), advise(crowded)) == (Advice.ENABLE, Advice.DISABLE)
    middle = speed_up(0.5, 1, 180, 295, draft_cost=0.1)
    assert advise(middle) is Advice.KEEP
    unknown = speed_up(None, 3, 1, 295)
    assert isinstance(unknown, NotApplicable)
    assert advise(unknown) is unknown


def test_kappa_is_observed_over_possible() -> None:
    assert kappa(0.0195, 0.0065) == pytest.approx(3.0)
    with pytest.raises(ValueError, match="takes time"):
        kappa(0.01, 0.0)
