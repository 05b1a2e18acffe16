"""Xid errors are counted by code, whatever else happens to the device."""

from collections.abc import Callable
from typing import Any

from tests.exporters.gpu.sampled import GPU0, GPU1, Gpus, Samples, labelled
from tests.exporters.nvml_stub import scenarios


def xids(samples: Samples, gpu: tuple[str, str] = GPU0) -> dict[str, float]:
    return {xid: count for (xid,), count in labelled(samples, "gpu_xid_events_total", gpu).items() if count}


def test_xids_are_counted_by_device_and_code_and_logged(gpus: Callable[..., Gpus], events: list[Any]) -> None:
    gpu = gpus(scenarios.xid())
    samples = gpu.until(lambda samples: len(xids(samples)) == 2 and xids(samples, GPU1))

    assert xids(samples) == {"48": 1, "79": 1}
    assert xids(samples, GPU1) == {"94": 1}
    logged = {(event["gpu"], event["xid"]) for event in events if event["event"] == "gpu_xid"}
    assert logged == {(0, "48"), (0, "79"), (1, "94")}


def test_xids_that_matter_begin_at_zero_where_they_are_watched(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100(devices=2).changed(1, {"event_types": None}))
    samples = gpu.until(lambda samples: labelled(samples, "gpu_xid_events_total"))

    assert set(labelled(samples, "gpu_xid_events_total").values()) == {0}
    assert ("79",) in labelled(samples, "gpu_xid_events_total")
    assert labelled(samples, "gpu_xid_events_total", GPU1) == {}


def test_the_same_xid_again_is_one_more_and_codes_beyond_the_known_are_one_label(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100().changed(0, {"events": "8:79"}))
    gpu.until(lambda samples: xids(samples) == {"79": 1})
    gpu.stub.show(scenarios.h100().changed(0, {"events": "8:79,8:79,8:154,8:70000,8:0"}))

    gpu.until(lambda samples: xids(samples) == {"79": 2, "154": 1, "other": 2})


def test_a_device_without_events_or_a_user_without_the_right_is_read_all_the_same(
    gpus: Callable[..., Gpus], events: list[Any]
) -> None:
    scenario = scenarios.h100(devices=2).changed(0, {"event_types": 0x10})
    gpu = gpus(scenario.changed(1, {"return.nvmlDeviceRegisterEvents": 4}))
    gpu.until(lambda _: len([event for event in events if event["event"] == "gpu_events_not_supported"]) == 2)
    samples = gpu.scrape()

    assert samples["gpu_up", *GPU0] == samples["gpu_up", *GPU1] == 1
    assert not [key for key in samples if key[0] == "gpu_xid_events_total"]


def test_a_driver_without_event_sets_is_read_all_the_same(gpus: Callable[..., Gpus], events: list[Any]) -> None:
    gpu = gpus(scenarios.h100().changed("system", {"return.nvmlEventSetCreate": 3}))
    gpu.until(lambda _: [event for event in events if event["event"] == "gpu_events_not_supported"])

    assert gpu.scrape()["gpu_up", *GPU0] == 1


def test_waiting_that_fails_is_counted_and_begun_anew(gpus: Callable[..., Gpus], events: list[Any]) -> None:
    gpu = gpus(scenarios.h100().changed("system", {"return.nvmlEventSetWait_v2": "999"}))
    gpu.until(lambda samples: samples["gpu_read_errors_total", *GPU0, "events"] >= 2)
    gpu.stub.show(scenarios.h100().changed(0, {"events": "8:63"}))

    gpu.until(lambda samples: xids(samples) == {"63": 1})
    assert "gpu_events_failed" in {event["event"] for event in events}


def test_a_device_that_cannot_be_watched_yet_is_watched_later(gpus: Callable[..., Gpus]) -> None:
    two = scenarios.h100(devices=2)
    gpu = gpus(two.changed(1, {"return.nvmlDeviceRegisterEvents": 15}))
    gpu.until(lambda samples: labelled(samples, "gpu_xid_events_total"))
    gpu.stub.show(two.changed(1, {"events": "8:31"}))

    gpu.until(lambda samples: xids(samples, GPU1) == {"31": 1})


def test_counts_outlive_the_device_and_the_session(gpus: Callable[..., Gpus]) -> None:
    fell = scenarios.h100().changed(0, {"events": "8:79"})
    gpu = gpus(fell)
    gpu.until(lambda samples: xids(samples) == {"79": 1})
    gpu.stub.show(fell.changed(0, {"return.*": 15}))
    lost = gpu.until(lambda samples: samples["gpu_up", *GPU0] == 0)
    gpu.stub.show(scenarios.h100().changed("system", {"return.nvmlDeviceGetCount_v2": 999}))
    failed = gpu.until(lambda _: gpu.failure)

    assert xids(lost) == xids(failed) == {"79": 1}
