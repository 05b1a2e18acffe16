"""P04: more slots for every engine, sized by hand; where it does not apply, what is asked, and its look-alikes."""

import dataclasses

import pytest

from recommender.model import Apply
from recommender.patches import PatchContext, render
from recommender.playbooks import Advice
from recommender.sizing import LinearItl
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import KV_BYTES, ONE, advised, changed, context, evidence, facts, refused, size

LIMITED = Bottleneck.ADMISSION_LIMITED
WAITING = {
    "replica:llm_requests_running:avg2m": 16.0,
    "replica:llm_requests_running:max2m": 16.0,
    "replica:llm_requests_waiting:avg2m": 40.0,
    "replica:llm_requests_waiting:min2m": 30.0,
    "replica:llm_max_running_requests": 16.0,
    "replica:llm_kv_cache_usage:avg2m": 0.1,
    "replica:llm_kv_cache_capacity_tokens": 400_000.0,
    "replica:llm_tokens_per_running_request:avg5m": 2_500.0,
    "replica:llm_preemptions_per_request:ratio_rate5m": 0.0,
    "replica:llm_itl_seconds:p95_5m": 0.06,
    "replica:llm_admission_fullness:ratio_avg2m": 0.5,  # of a limit that nothing here reads
}
UNSURE = WAITING | {"replica:llm_itl_seconds:p95_5m": 0.09}  # 0.1/0.09 leaves no room for a wide step


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt_llm", "tgi"])
def test_each_engine_with_a_kv_pool_gets_twice_its_slots_while_kv_holds_them(engine: str) -> None:
    change = changed(size(LIMITED, "P04.1", evidence(UNSURE), context(engine, max_running_requests=16)))
    assert (change.knob, change.engine, change.old, change.new) == ("max_running_requests", engine, 16, 32)
    assert change.feasibility is not None
    assert (change.feasibility.before, change.feasibility.after) == (16 * 2_500, 32 * 2_500)
    assert change.feasibility.unit == "tokens"


def test_the_proof_is_in_bytes_where_the_model_is_known() -> None:
    change = changed(size(LIMITED, "P04.1", evidence(UNSURE), context(known=facts(), max_running_requests=16)))
    assert change.feasibility is not None
    assert change.feasibility.unit == "bytes"
    assert change.feasibility.after == pytest.approx(32 * 2_500 * KV_BYTES)
    assert change.feasibility.limit == pytest.approx(400_000 * KV_BYTES)


def test_kv_and_not_the_step_ends_a_raise_where_it_is_the_tighter() -> None:
    tight = UNSURE | {"replica:llm_kv_cache_capacity_tokens": 70_000.0}
    change = changed(size(LIMITED, "P04.1", evidence(tight), context("sglang", max_running_requests=16)))
    assert change.new == 23  # floor(0.85·70000/2500) = 23.8, and SGLang needs no captured size
    full = UNSURE | {"replica:llm_kv_cache_capacity_tokens": 45_000.0}
    assert "leaves no legal value above 16" in refused(
        size(LIMITED, "P04.1", evidence(full), context(max_running_requests=16))
    )


def test_a_wide_step_needs_free_kv_and_an_itl_that_is_sure_to_stay_within_its_objective() -> None:
    ample = WAITING | {"replica:llm_itl_seconds:p95_5m": 0.02}
    wide = changed(size(LIMITED, "P04.1", evidence(ample), context(max_running_requests=16)))
    assert wide.new == 64  # half of 400000/2500 = 80 slots stay free, 0.1/0.02 = 5 times the batch keep ITL
    crowded = ample | {"replica:llm_tokens_per_running_request:avg5m": 5_000.0}
    assert changed(size(LIMITED, "P04.1", evidence(crowded), context(max_running_requests=16))).new == 40
    slower = changed(size(LIMITED, "P04.1", evidence(WAITING), context(max_running_requests=16)))
    assert slower.new == 32  # 16·0.1/0.06 = 26 is below twice: the usual step, with the canary's guard on ITL
    narrow = context(tuning={"step_wide_ratio": 2.0}, max_running_requests=16)
    assert changed(size(LIMITED, "P04.1", evidence(ample), narrow)).new == 32


def test_a_fitted_model_bounds_wide_steps_too() -> None:
    given = dataclasses.replace(context(max_running_requests=16), itl=LinearItl(0.02, 0.001))
    change = changed(size(LIMITED, "P04.1", evidence(WAITING), given))
    assert change.new == 56  # (0.1/1.2 - 0.02)/0.001 = 63.3, down to a captured size
    assert "(itl_objective/1.2 - alpha)/beta" in change.formula


def test_slots_of_ollama_are_proven_by_their_whole_contexts() -> None:
    given = context("ollama", known=facts("l4"), max_running_requests=2, max_model_length_tokens=4096)
    change = changed(size(LIMITED, "P04.1", evidence(UNSURE | {"replica:llm_requests_running:max2m": 2.0}), given))
    assert (change.flag, change.env, change.new) == ("OLLAMA_NUM_PARALLEL", "OLLAMA_NUM_PARALLEL", 4)
    assert change.feasibility is not None
    assert change.feasibility.after is not None
    assert change.feasibility.before is not None
    more = change.feasibility.after - change.feasibility.before
    assert more == pytest.approx(2 * 4096 * KV_BYTES, rel=0.01)  # slots·context·kv_B


def test_slots_that_do_not_fit_the_device_are_refused_with_the_bytes() -> None:
    given = context("ollama", known=facts("l4"), max_running_requests=8, max_model_length_tokens=32768)
    few = UNSURE | {"replica:llm_requests_running:max2m": 8.0}
    assert "would not fit" in refused(size(LIMITED, "P04.1", evidence(few), given))


def test_slots_of_an_unknown_model_are_advised_and_it_is_asked_for() -> None:
    given = context("ollama", max_running_requests=1, max_model_length_tokens=8192)
    outcome = size(LIMITED, "P04.1", evidence(UNSURE | {"replica:llm_requests_running:max2m": 1.0}), given)
    assert "Set OLLAMA_NUM_PARALLEL to 2" in advised(outcome)
    assert isinstance(outcome, Advice)
    assert [ask.how for ask in outcome.asks] == ["set services.chat.hardware.gpu"]


def test_slots_of_llamacpp_are_set_together_with_the_context_that_they_share() -> None:
    few = UNSURE | {"replica:llm_requests_running:max2m": 4.0}
    given = context("llamacpp", known=facts(), max_running_requests=4, context_tokens=16384)
    change = changed(size(LIMITED, "P04.1", evidence(few), given))
    assert (change.knob, change.new, change.flag) == ("max_running_requests", 8, "--parallel")
    assert change.sets == {"LLAMA_ARG_CTX_SIZE": 32768}  # each keeps its 4096
    assert change.feasibility is not None
    assert change.feasibility.after is not None
    assert change.feasibility.before is not None
    assert change.feasibility.after - change.feasibility.before == pytest.approx(16384 * KV_BYTES, rel=0.01)
    told = {patch.format: patch.content for patch in render(change, PatchContext("chat"))}
    assert told["cli"] == "--parallel 8 --ctx-size 32768\n"
    assert told["environment"] == "export LLAMA_ARG_N_PARALLEL=8\nexport LLAMA_ARG_CTX_SIZE=32768\n"


def test_slots_of_llamacpp_are_advised_where_the_context_that_they_share_is_unknown() -> None:
    few = UNSURE | {"replica:llm_requests_running:max2m": 4.0}
    outcome = size(LIMITED, "P04.1", evidence(few), context("llamacpp", max_running_requests=4))
    assert "Set -np to 8 and -c to 8/4 of what it is" in advised(outcome)
    assert isinstance(outcome, Advice)
    assert [ask.fact for ask in outcome.asks] == ["context_tokens"]


def test_slots_of_llamacpp_that_share_one_context_are_not_divided_by_setting_them() -> None:
    """Nobody set -np: four slots with unified KV, and each tells the whole context for its own."""
    whole = UNSURE | {"replica:llm_requests_running:max2m": 4.0, "replica:llm_max_model_length_tokens": 16384.0}
    whole |= {"replica:llm_max_running_requests": 4.0}
    given = context("llamacpp", known=facts(), context_tokens=16384)
    assert "--kv-unified" in advised(size(LIMITED, "P04.1", evidence(whole), given))
    divided = whole | {"replica:llm_max_model_length_tokens": 4096.0}
    assert "--kv-unified" not in advised(size(LIMITED, "P04.1", evidence(divided), given))


@pytest.mark.parametrize("missing", ["kv_cache_capacity_tokens", "tokens_per_running_request:avg5m"])
def test_what_a_request_holds_has_to_be_known(missing: str) -> None:
    seen = {name: value for name, value in UNSURE.items() if name != f"replica:llm_{missing}"}
    assert "might not fit" in refused(size(LIMITED, "P04.1", evidence(seen), context(max_running_requests=16)))


def test_a_batch_whose_itl_is_over_its_objective_is_a_look_alike() -> None:
    slow = WAITING | {"replica:llm_itl_seconds:p95_5m": 0.12}
    assert "already over its objective" in refused(
        size(LIMITED, "P04.1", evidence(slow), context(max_running_requests=16))
    )


def test_an_engine_that_runs_more_than_its_file_says_is_not_changed() -> None:
    assert "does not run with its configuration" in refused(
        size(LIMITED, "P04.1", evidence(UNSURE), context(max_running_requests=8))
    )


def test_sglang_admits_less_cautiously_step_by_step_while_kv_has_room() -> None:
    change = changed(size(LIMITED, "P04.2", evidence(WAITING), context("sglang", admission_conservativeness=1.0)))
    assert (change.new, change.flag, change.apply) == (0.5, "--schedule-conservativeness", Apply.RESTART)
    given = context("sglang", admission_conservativeness=0.5)
    assert changed(size(LIMITED, "P04.2", evidence(WAITING), given)).new == 0.3
    given = context("sglang", admission_conservativeness=0.3)
    assert "already" in refused(size(LIMITED, "P04.2", evidence(WAITING), given))


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"replica:llm_kv_cache_usage:avg2m": 0.95}, "no room"),
        ({"replica:llm_preemptions_per_request:ratio_rate5m": 0.2}, "would retract more"),
        ({"replica:llm_requests_waiting:min2m": 0.0}, "holds nothing back"),
    ],
)
def test_sglang_is_not_made_less_cautious_by_a_look_alike(seen: dict[str, float], why: str) -> None:
    given = context("sglang", admission_conservativeness=1.0)
    assert why in refused(size(LIMITED, "P04.2", evidence(WAITING | seen), given))
    assert "unknown" in refused(size(LIMITED, "P04.2", evidence({}), given))


def test_tensorrt_llm_admits_what_fits_now_where_kv_has_room() -> None:
    given = context("tensorrt_llm", capacity_policy="guaranteed_no_evict")
    change = changed(size(LIMITED, "P04.3", evidence(WAITING), given))
    assert (change.old, change.new, change.engine_new) == ("guaranteed_no_evict", "max_utilization", "MAX_UTILIZATION")
    assert "paused" in change.reason
    given = context("tensorrt_llm", capacity_policy="max_utilization")
    assert "already" in refused(size(LIMITED, "P04.3", evidence(WAITING), given))
    full = WAITING | {"replica:llm_kv_cache_usage:avg2m": 0.9}
    given = context("tensorrt_llm", capacity_policy="guaranteed_no_evict")
    assert "paused" in refused(size(LIMITED, "P04.3", evidence(full), given))


def test_graphs_are_captured_up_to_the_batch_that_runs_out_of_memory_that_is_free() -> None:
    room = {"gpu:gpu_memory_free_bytes": 8e9, "gpu:gpu_memory_used:ratio": 0.9}
    seen = WAITING | room | {"replica:llm_requests_running:max2m": 200.0}
    given = context("tensorrt_llm", graph_max_batch=128, max_running_requests=512)
    change = changed(size(LIMITED, "P04.4", evidence(seen), given))
    assert change.new == 256  # twice, below the batch limit
    assert change.feasibility is not None
    assert change.feasibility.after == pytest.approx(72e9 + 16 * 16 * 2**20)  # a graph each 8 requests, 16 MiB each
    outcome = size(LIMITED, "P04.4", evidence(WAITING | {"replica:llm_requests_running:max2m": 200.0}), given)
    assert isinstance(outcome, Advice)
    assert [ask.fact for ask in outcome.asks] == ["gpu_memory_free_bytes"]
    assert "no more than" in refused(size(LIMITED, "P04.4", evidence(WAITING | room), given))


def test_the_version_must_be_known_to_have_the_knob() -> None:
    given = dataclasses.replace(context(graph_max_batch=128), engine_version="0.11.0")
    given = dataclasses.replace(given, knobs=given.knobs.at("0.11.0") if given.knobs else None)
    seen = WAITING | {"replica:llm_requests_running:max2m": 200.0}
    assert "not known" in refused(size(LIMITED, "P04.4", evidence(seen), given, ONE))


# 0.85·60,000/2,500 = 20.4: KV leaves no captured batch size above the 16 slots that there are.
BOUND_BY_KV = UNSURE | {
    "replica:llm_kv_cache_capacity_tokens": 60_000.0,
    "gpu:gpu_memory_free_bytes": 16e9,
    "gpu:gpu_memory_used:ratio": 0.8,
}


def test_slots_that_kv_has_no_room_for_get_memory_in_the_same_change() -> None:
    given = context(known=facts(), max_running_requests=16, kv_cache_memory_fraction=0.8)
    refused(size(LIMITED, "P04.1", evidence(BOUND_BY_KV), given))
    change = changed(size(LIMITED, "P04.6", evidence(BOUND_BY_KV), given))
    # 0.03·80e9/131,072 = 18,310 tokens more: 0.85·78,310/2,500 = 26.6, and 24 is a captured size.
    assert (change.knob, change.old, change.new) == ("max_running_requests", 16, 24)
    assert (change.sets, change.sets_old) == ({"gpu-memory-utilization": 0.83}, {"gpu-memory-utilization": 0.8})
    assert change.feasibility is not None
    assert change.feasibility.after == pytest.approx(64e9 + 0.03 * 80e9)
    assert change.feasibility.limit == pytest.approx(80e9 - 3 * 2**30)
    assert change.inputs["kv_capacity_tokens"] == pytest.approx(60_000 + 0.03 * 80e9 / KV_BYTES)
    written = {patch.content for patch in render(change, PatchContext(service="chat"))}
    assert any("max-num-seqs: 24" in text and "gpu-memory-utilization: 0.83" in text for text in written)


def test_between_small_captured_sizes_half_as_many_slots_again_are_worth_padding() -> None:
    few = UNSURE | {
        "replica:llm_requests_running:max2m": 8.0,
        "replica:llm_max_running_requests": 8.0,
        "replica:llm_kv_cache_capacity_tokens": 37_000.0,
    }
    # 0.85·37,000/2,500 = 12.6: 16 does not fit, 8 is what there is, and a batch of 12 is padded to 16.
    assert changed(size(LIMITED, "P04.1", evidence(few), context(max_running_requests=8))).new == 12
    fewer = few | {"replica:llm_kv_cache_capacity_tokens": 33_000.0}  # 11.2 is not half as many again
    refused(size(LIMITED, "P04.1", evidence(fewer), context(max_running_requests=8)))


def test_memory_whose_tokens_are_unknown_is_counted_as_if_the_share_were_kv_alone() -> None:
    bound = BOUND_BY_KV | {"replica:llm_kv_cache_capacity_tokens": 48_500.0}  # 0.85·48,500/2,500 = 16.5
    given = context("sglang", max_running_requests=16, kv_cache_memory_fraction=0.8)
    change = changed(size(LIMITED, "P04.6", evidence(bound), given))
    assert change.new == 17  # 0.85·48,500·0.83/0.8/2,500 = 17.1
    assert change.sets == {"mem-fraction-static": 0.83}


@pytest.mark.parametrize(
    ("seen", "settings", "why"),
    [
        ({"replica:llm_kv_cache_capacity_tokens": 400_000.0}, {"kv_cache_memory_fraction": 0.8}, "KV has room"),
        ({"gpu:gpu_memory_free_bytes": 3e9, "gpu:gpu_memory_used:ratio": 0.9625}, {}, "within the 3 GiB reserve"),
        ({"replica:llm_itl_seconds:p95_5m": 0.2}, {}, "already over its objective"),
        ({"replica:llm_tokens_per_running_request:avg5m": 9_000.0}, {}, "leaves no legal value above 16"),
    ],
)
def test_memory_is_not_raised_with_slots_where_it_is_not_what_they_lack(
    seen: dict[str, float], settings: dict[str, float], why: str
) -> None:
    given = context(known=facts(), max_running_requests=16, **({"kv_cache_memory_fraction": 0.9} | settings))
    assert why in refused(size(LIMITED, "P04.6", evidence(BOUND_BY_KV | seen), given))


def test_a_share_that_nobody_tells_is_not_raised_with_slots() -> None:
    given = context(known=facts(), max_running_requests=16)
    assert "is unknown" in refused(size(LIMITED, "P04.6", evidence(BOUND_BY_KV), given))
