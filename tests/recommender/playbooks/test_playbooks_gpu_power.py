"""P12 to P14 and P19: limits of power by hand, faults by class; never a change."""

import pytest

from recommender.playbooks import PLAYBOOKS, Advice
from recommender.playbooks.gpu_hardware import xid_action
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import advised, context, evidence, facts, refused, size

HOT, CAPPED, BROKEN = Bottleneck.GPU_THERMAL_THROTTLE, Bottleneck.GPU_POWER_LIMIT, Bottleneck.GPU_FAULT
HEAT = {
    "gpu:gpu_temperature_celsius": 88.0,
    "gpu:gpu_temperature_slowdown_celsius": 87.0,
    "gpu:gpu_power_watts": 680.0,
    "gpu:gpu_power_limit_watts": 700.0,
    "gpu:gpu_power_default_limit_watts": 700.0,
    "gpu:gpu_throttled_thermal:ratio_rate5m": 0.3,
    "gpu:gpu_hw_slowdown:ratio_avg5m": 0.0,
}


def test_power_is_lowered_to_what_the_cooling_carries_in_steps_of_a_tenth() -> None:
    given = context(tuning={"inlet_celsius": 30})
    text = advised(size(HOT, "P12.3", evidence(HEAT), given))
    by_hand = 680 * (87 - 5 - 30) / (88 - 30)
    assert by_hand == pytest.approx(609.7, abs=0.1)
    assert "nvidia-smi -i GPU -pl 612" in text  # a tenth below the 680 that it draws first: its limit is 700
    assert "= 610 W" in text
    mild = evidence(HEAT | {"gpu:gpu_temperature_celsius": 83.0})
    assert "-pl 667" in advised(size(HOT, "P12.3", mild, given))  # 680·52/53 = 667, less than a tenth


def test_a_limit_is_lowered_below_what_a_hot_gpu_draws_or_it_would_change_nothing() -> None:
    slowed = evidence(HEAT | {"gpu:gpu_power_watts": 312.0, "gpu:gpu_temperature_celsius": 84.0})
    text = advised(size(HOT, "P12.3", slowed, context(tuning={"inlet_celsius": 30})))
    assert "nvidia-smi -i GPU -pl 300" in text  # 312·52/54, and not 630 of a limit of 700 that it does not reach


def test_the_air_at_the_inlet_is_asked_for_and_never_assumed() -> None:
    outcome = size(HOT, "P12.3", evidence(HEAT), context())
    assert isinstance(outcome, Advice)
    assert "from 700 to 612 W" in outcome.text
    assert [ask.fact for ask in outcome.asks] == ["inlet_celsius"]
    colder = size(HOT, "P12.3", evidence(HEAT), context(tuning={"inlet_celsius": 60}))
    assert "680·(87 - 5 - 60)/(88 - 60)" in advised(colder)
    cool = evidence(HEAT | {"gpu:gpu_temperature_celsius": 70.0})
    assert "core could take more" in advised(size(HOT, "P12.3", cool, context(tuning={"inlet_celsius": 30})))


def test_a_gpu_in_hardware_slowdown_is_drained_and_another_gets_half() -> None:
    assert "Halve the weight" in advised(size(HOT, "P12.1", evidence(HEAT), context()))
    slow = evidence(HEAT | {"gpu:gpu_hw_slowdown:ratio_avg5m": 0.5})
    assert "Drain the replicas" in advised(size(HOT, "P12.1", slow, context()))
    assert "88 °C" in advised(size(HOT, "P12.2", evidence(HEAT), context()))


def test_a_lowered_power_limit_goes_up_by_a_tenth_to_the_default() -> None:
    lowered = evidence(HEAT | {"gpu:gpu_power_limit_watts": 500.0})
    assert "nvidia-smi -i GPU -pl 550" in advised(size(CAPPED, "P13.1", lowered, context()))
    near = evidence(HEAT | {"gpu:gpu_power_limit_watts": 660.0})
    assert "-pl 700" in advised(size(CAPPED, "P13.1", near, context()))
    assert "what the device starts with" in refused(size(CAPPED, "P13.1", evidence(HEAT), context()))
    assert "unknown" in refused(size(CAPPED, "P13.1", evidence({}), context()))


def test_what_a_token_takes_is_told_before_a_limit_is_swept() -> None:
    seen = evidence(HEAT | {"gpu:gpu_energy_joules:rate5m": 600.0, "replica:llm_generation_tokens:rate5m": 1200.0})
    text = advised(size(CAPPED, "P13.2", seen, context(known=facts(gpus_per_replica=2))))
    assert "takes 1 J now (600 W on each of 2 GPUs" in text
    assert "(700, 630, 560, 490, 420 W)" in text
    assert "unknown" in advised(size(CAPPED, "P13.2", seen, context()))


@pytest.mark.parametrize(
    ("code", "said"), [(13, "restart"), (79, "reboot"), (48, "reset it, test"), (63, "next drain"), (999, "reset")]
)
def test_each_class_of_xid_has_its_action(code: int, said: str) -> None:
    assert said in xid_action(code)


def test_a_fault_is_told_by_what_was_read_of_it() -> None:
    lost = advised(size(BROKEN, "P14.1", evidence({"gpu:gpu_up": 0.0}), context()))
    assert "reboot" in lost
    rows = advised(size(BROKEN, "P14.1", evidence({"gpu:gpu_up": 1.0, "gpu:gpu_row_remap_failure": 1.0}), context()))
    assert "return the GPU to its maker" in rows
    xid = advised(size(BROKEN, "P14.1", evidence({"gpu:gpu_xid_faults:increase10m": 2.0}), context()))
    assert r'gpu_xid_events_total{node=~"gpu\\-1|gpu\\-2"}' in xid
    assert "which kind of fault it is is unknown" in advised(size(BROKEN, "P14.1", evidence({}), context())).lower()


def test_a_link_is_told_by_its_lanes_and_errors() -> None:
    narrow = evidence({"gpu:gpu_pcie_link_width:ratio": 0.5, "gpu:gpu_pcie_replays:rate5m": 0.0})
    assert advised(size(Bottleneck.GPU_LINK_DEGRADED, "P14.3", narrow, context())).startswith("50 % of its PCIe lanes")


def test_tensor_parallelism_over_pcie_is_taken_apart() -> None:
    link = Bottleneck.INTERCONNECT_SATURATION
    seen = evidence({"gpu:gpu_pcie_busy:ratio": 0.9})
    over_pcie = context(known=facts("l40s", tensor_parallel=4, gpus_per_replica=4))
    assert "l40s has no NVLink" in advised(size(link, "P19.1", seen, over_pcie))
    over_nvlink = context(known=facts(tensor_parallel=4, gpus_per_replica=4))
    assert "--tensor-parallel-size 2" in advised(size(link, "P19.1", seen, over_nvlink))
    assert "one GPU" in refused(size(link, "P19.1", seen, context(known=facts())))
    assert "unknown" in advised(size(link, "P19.1", seen, context()))


def test_nothing_of_hardware_is_ever_a_change() -> None:
    for bottleneck in (
        HOT,
        CAPPED,
        BROKEN,
        Bottleneck.GPU_POWER_BRAKE,
        Bottleneck.GPU_LINK_DEGRADED,
        Bottleneck.GPU_REPAIR_PENDING,
        Bottleneck.INTERCONNECT_SATURATION,
    ):
        assert all(each.effects is None for each in PLAYBOOKS[bottleneck])
