"""Devices and drivers that fail, hang, go and come back."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from exporters.errors import NoData, ReadError
from tests.exporters.gpu.sampled import GPU0, GPU1, Clock, Gpus, Samples, errors, labelled, of
from tests.exporters.nvml_stub import scenarios
from tests.exporters.nvml_stub.stub import NvmlStub

STALE = 11.0  # seconds; more than those after which values are withheld
KEPT = {"gpu_up", "gpu_sample_age_seconds", "gpu_values_dropped_total"}  # of a device that does not answer


def up(samples: Samples) -> tuple[float | None, float | None]:
    return samples.get(("gpu_up", *GPU0)), samples.get(("gpu_up", *GPU1))


def test_values_of_all_ones_are_dropped_and_counted(gpus: Callable[..., Gpus], events: list[Any]) -> None:
    gpu = gpus(scenarios.sentinels())
    samples = gpu.until(lambda samples: samples["gpu_values_dropped_total", *GPU0] > 20)
    found = of(samples)

    assert not found.keys() & {
        "gpu_power_watts", "gpu_utilization_ratio", "gpu_sm_clock_hertz", "gpu_memory_temperature_celsius",
        "gpu_pcie_replays_total", "gpu_energy_joules_total",
    }  # fmt: skip
    assert ("corrected", "volatile") not in labelled(samples, "gpu_ecc_errors_total")
    assert ("power",) not in labelled(samples, "gpu_violation_seconds_total")
    assert (found["gpu_temperature_celsius"], found["gpu_up"]) == (59, 1)
    assert errors(samples) == {}
    logged = {name: why for event in events for name, why in event.get("without", {}).items()}
    assert logged["gpu_power_watts"] == "NVML gave 0xffffffff"


@pytest.mark.parametrize(
    ("figure", "impossible", "family"),
    [
        ("utilization_gpu_percent", 101, "gpu_utilization_ratio"),
        ("utilization_encoder_percent", 400, "gpu_encoder_utilization_ratio"),
        ("temperature_celsius", 1000, "gpu_temperature_celsius"),
        ("performance_state", 32, "gpu_performance_state"),
        ("power_mw", 0x7FFFFFF0, "gpu_power_watts"),
        ("memory_used_bytes", 0x7FFFFFFFFFFFFFF0, "gpu_memory_used_bytes"),
        ("energy_mj", 0xFFFFFFFF, "gpu_energy_joules_total"),
    ],
)
def test_a_value_that_cannot_be_true_is_dropped_and_counted(
    gpus: Callable[..., Gpus], figure: str, impossible: int, family: str
) -> None:
    found = of(gpus(scenarios.h100().changed(0, {figure: impossible})).scrape())

    assert family not in found
    assert found["gpu_values_dropped_total"] >= 1


def test_a_reading_that_fails_is_unknown_and_counted_until_it_works_again(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100())
    gpu.scrape()
    gpu.stub.show(scenarios.h100().changed(0, {"return.nvmlDeviceGetPowerUsage": 10}))  # timeout
    failed = gpu.until(lambda samples: ("gpu_power_watts", *GPU0) not in samples)
    more = gpu.until(lambda samples: errors(samples).get("power", 0) > errors(failed).get("power", 0))
    gpu.stub.show(scenarios.h100())

    assert of(failed)["gpu_temperature_celsius"] == 59
    assert errors(more).keys() == {"power"}
    assert of(gpu.until(lambda samples: ("gpu_power_watts", *GPU0) in samples))["gpu_power_watts"] == 631.95


def test_a_reading_that_is_refused_after_it_worked_is_tried_again(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100())
    gpu.scrape()
    gpu.stub.show(scenarios.h100().changed(0, {"return.nvmlDeviceGetPowerUsage": 3}))  # not supported
    gpu.until(lambda samples: errors(samples).get("power"))
    gpu.stub.show(scenarios.h100())

    gpu.until(lambda samples: ("gpu_power_watts", *GPU0) in samples)


def test_parts_that_could_not_be_asked_for_are_found_later(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100().changed(0, {"return.nvmlDeviceGetSupportedClocksEventReasons": "10,999,0"}))
    samples = gpu.until(lambda samples: labelled(samples, "gpu_clock_event_active"))

    assert errors(samples) == {"clock_events": 2}


def test_a_device_that_falls_off_the_bus_is_down_and_the_other_is_read(
    gpus: Callable[..., Gpus], events: list[Any]
) -> None:
    gpu = gpus(scenarios.h100(devices=2))
    assert up(gpu.scrape()) == (1, 1)
    gpu.stub.show(scenarios.h100(devices=2).changed(1, {"return.*": 15}))
    samples = gpu.until(lambda samples: up(samples) == (1, 0))

    assert of(samples, GPU1).keys() == KEPT
    assert labelled(samples, "gpu_info", GPU1)
    assert of(samples)["gpu_power_watts"] == 631.95
    assert gpu.failure == ""
    [lost] = [event for event in events if event["event"] == "gpu_lost"]
    assert (lost["gpu"], lost["uuid"], lost["error"]) == (1, GPU1[1], "GPU is lost")
    gpu.stub.show(scenarios.h100(devices=2))
    gpu.until(lambda samples: up(samples) == (1, 1))


def test_a_device_that_was_never_reached_is_down(gpus: Callable[..., Gpus]) -> None:
    scenario = scenarios.h100(devices=2).changed(1, {"return.nvmlDeviceGetHandleByIndex_v2": 15})
    samples = gpus(scenario).scrape()

    assert samples["gpu_up", "1", ""] == 0
    assert ("gpu_sample_age_seconds", "1", "") not in samples
    assert samples["gpu_up", *GPU0] == 1


def test_a_device_that_answers_nothing_is_down_though_no_call_says_so(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100())
    gpu.scrape()
    gpu.stub.show(scenarios.h100().changed(0, {"return.*": 999}))

    assert of(gpu.until(lambda samples: samples["gpu_up", *GPU0] == 0)).keys() == KEPT


def test_the_session_is_opened_anew_while_a_device_is_lost_for_a_reset_one_is_seen_by_a_new_one_only(
    gpus: Callable[..., Gpus], clock: Clock
) -> None:
    two = scenarios.h100(devices=2)
    gpu = gpus(two.changed(1, {"return.*": 15}).changed("system", {"driver_version": "590.0"}))
    gpu.scrape()
    gpu.stub.show(two.changed(1, {"return.*": 15}).changed("system", {"driver_version": "591.0"}))
    clock.advance(61)

    gpu.until(lambda samples: any("591.0" in facts for facts in labelled(samples, "gpu_info")))
    gpu.until(lambda samples: up(samples) == (1, 0))


def test_a_device_that_hangs_costs_its_own_values_and_no_one_elses(
    gpus: Callable[..., Gpus], clock: Clock, events: list[Any]
) -> None:
    gpu = gpus(scenarios.h100(devices=2))
    gpu.scrape()
    gpu.stub.show(scenarios.h100(devices=2).changed(1, {"hang.nvmlDeviceGetPowerUsage": 1}))
    fresh = gpu.until(lambda samples: samples["gpu_sample_age_seconds", *GPU1] > 0.2)
    clock.advance(STALE)
    samples = gpu.until(lambda samples: samples["gpu_up", *GPU0] == 1 and errors(samples, GPU1))

    assert up(fresh) == (1, 1)  # a sample of a moment ago is given, and says its age
    assert of(samples, GPU1).keys() == KEPT
    assert of(samples, GPU1)["gpu_sample_age_seconds"] > STALE
    assert of(samples, GPU1)["gpu_up"] == 0
    assert errors(samples, GPU1) == {"power": 1}
    assert of(samples)["gpu_sample_age_seconds"] < 10
    gpu.stub.show(scenarios.h100(devices=2))
    gpu.until(lambda samples: up(samples) == (1, 1))
    hang = [event for event in events if event["event"] in {"gpu_hangs", "gpu_answers_again"}]
    assert [(event["event"], event["gpu"]) for event in hang][:1] == [("gpu_hangs", 1)]
    assert hang[0]["reading"] == "power"


def test_a_hang_is_counted_once_and_its_call_is_not_made_a_second_time(gpus: Callable[..., Gpus], clock: Clock) -> None:
    gpu = gpus(scenarios.h100().changed(0, {"hang.nvmlDeviceGetTotalEnergyConsumption": 1}))
    gpu.sampler.wait_for_first(0.2)
    clock.advance(31)  # the first scrape has waited enough
    for _ in range(3):
        clock.advance(STALE)
        gpu.until(lambda samples: sum(errors_of_any(samples).values()) >= 1)

    samples = gpu.scrape()
    assert errors_of_any(samples) == {"energy": 1}
    assert [value for key, value in samples.items() if key[0] == "gpu_up"] == [0]


def errors_of_any(samples: Samples) -> dict[str, float]:
    return {key[3]: value for key, value in samples.items() if key[0] == "gpu_read_errors_total" and value}


def test_a_driver_that_hangs_as_a_whole_is_counted_by_device(gpus: Callable[..., Gpus], clock: Clock) -> None:
    gpu = gpus(scenarios.h100(devices=2))
    gpu.scrape()
    hang = {"hang.nvmlDeviceGetCount_v2": 1, "hang.nvmlDeviceGetMemoryInfo_v2": 1}
    gpu.stub.show(scenarios.h100(devices=2).changed("*", hang).changed("system", hang))
    gpu.until(lambda samples: min(samples["gpu_sample_age_seconds", *which] for which in (GPU0, GPU1)) > 0.3)
    clock.advance(STALE)
    samples = gpu.scrape()

    assert up(samples) == (0, 0)
    assert errors(samples) == errors(samples, GPU1) == {"memory": 1}


def test_a_driver_that_hangs_before_it_tells_its_devices_fails_the_collector(
    nvml_stub: NvmlStub, clock: Clock, gpus: Callable[..., Gpus]
) -> None:
    gpu = gpus(scenarios.h100().changed("system", {"hang.nvmlDeviceGetCount_v2": 1}))
    clock.advance(31)  # the first scrape has waited enough

    with pytest.raises(ReadError, match="a call to it hangs"):
        gpu.scrape()
    nvml_stub.show(scenarios.h100())


@pytest.mark.parametrize("fault", [{"return.nvmlDeviceGetCount_v2": 999}, {"devices": 0}])
def test_a_driver_that_fails_after_it_worked_is_a_failure_with_what_is_known_and_recovers(
    gpus: Callable[..., Gpus], fault: dict[str, int]
) -> None:
    gpu = gpus(scenarios.h100())
    gpu.scrape()
    gpu.stub.show(scenarios.h100().changed("system", fault))
    samples = gpu.until(lambda _: gpu.failure)

    assert gpu.failure.startswith("NVML")
    assert of(samples).keys() == KEPT
    assert samples["gpu_up", *GPU0] == 0
    gpu.stub.show(scenarios.h100())
    gpu.until(lambda samples: samples["gpu_up", *GPU0] == 1)
    assert gpu.failure == ""


def test_a_driver_that_is_reloaded_is_found_again(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100())
    gpu.scrape()
    gone = {"return.nvmlInitWithFlags": 9, "return.nvmlDeviceGetCount_v2": 1}
    gpu.stub.show(scenarios.h100().changed("system", gone).changed(0, {"return.*": 1}))
    gpu.until(lambda samples: gpu.failure and samples["gpu_up", *GPU0] == 0)
    gpu.stub.show(scenarios.h100().changed("system", {"driver_version": "600.1"}))
    samples = gpu.until(lambda samples: samples["gpu_up", *GPU0] == 1)

    assert [facts[1] for facts in labelled(samples, "gpu_info")] == ["600.1"]


@pytest.mark.parametrize(
    ("absent", "why"),
    [
        ({"return.nvmlInitWithFlags": 9}, "no NVIDIA driver"),
        ({"devices": 0}, "NVML shows no device"),
    ],
)
def test_a_machine_without_gpus_has_no_data_until_there_is_one(
    gpus: Callable[..., Gpus], absent: dict[str, int], why: str
) -> None:
    gpu = gpus(scenarios.h100().changed("system", absent))
    with pytest.raises(NoData, match=why):
        gpu.scrape()

    gpu.stub.show(scenarios.h100())
    until = time.monotonic() + 30
    while not gpu.sampler.snapshot().devices and time.monotonic() < until:
        time.sleep(0.005)
    gpu.until(lambda samples: samples["gpu_up", *GPU0] == 1)


def test_nvml_of_another_version_than_the_module_says_what_to_do(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100().changed("system", {"return.nvmlInitWithFlags": 18}))

    with pytest.raises(ReadError, match="differ in version: reload the module or reboot"):
        gpu.scrape()


def test_devices_that_come_are_read_too(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100())
    gpu.scrape()
    gpu.stub.show(scenarios.h100(devices=2))

    gpu.until(lambda samples: up(samples) == (1, 1))


def test_stopping_does_not_wait_for_a_call_that_hangs(gpus: Callable[..., Gpus], clock: Clock) -> None:
    gpu = gpus(scenarios.h100().changed(0, {"hang.nvmlDeviceGetPowerUsage": 1}))
    gpu.sampler.wait_for_first(0.1)
    before = clock()
    gpu.sampler.stop()

    assert clock() - before < 10
