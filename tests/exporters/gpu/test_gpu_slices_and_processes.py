"""Who uses a device: MIG slices as devices of their own, and processes."""

from collections.abc import Callable

from tests.exporters.gpu.sampled import GPU0, Gpus, Samples, errors, labelled, of
from tests.exporters.nvml_stub import scenarios
from tests.exporters.nvml_stub.scenarios import SLICE_UUID

SLICE0 = ("0", SLICE_UUID.format(index=0), "0")
SLICE1 = ("0", SLICE_UUID.format(index=1), "1")


def slices(samples: Samples) -> set[tuple[str, ...]]:
    return {key[1:4] for key in samples if key[0] == "gpu_mig_info"}


def test_a_slice_is_a_device_with_memory_and_processes_of_its_own(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100_mig())
    samples, said = gpu.scrape(), gpu.stub.scenario["0/1"]

    assert samples["gpu_memory_total_bytes", *SLICE1] == int(said["memory_total_bytes"])
    assert samples["gpu_memory_used_bytes", *SLICE1] == int(said["memory_used_bytes"])
    assert (samples["gpu_processes", *SLICE0], samples["gpu_processes", *SLICE1]) == (2, 1)
    assert samples["gpu_processes_memory_bytes", *SLICE1] == 1333788672
    assert samples["gpu_mig_info", *SLICE1, GPU0[1], "3g.40gb", "2", "0"] == 1


def test_a_gpu_in_mig_mode_says_so_and_has_no_utilization_of_the_whole(gpus: Callable[..., Gpus]) -> None:
    found = of(gpus(scenarios.h100_mig()).scrape())

    assert found["gpu_mig_mode_enabled"] == 1
    assert found["gpu_memory_total_bytes"] == 85520809984
    assert "gpu_utilization_ratio" not in found
    assert found["gpu_power_watts"] > 0


def test_slices_come_and_go(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100_mig())
    assert slices(gpu.scrape()) == {SLICE0, SLICE1}
    sections = dict(scenarios.h100_mig().sections)
    del sections["0/1"]
    gpu.stub.show(scenarios.Scenario(sections))

    samples = gpu.until(lambda samples: slices(samples) == {SLICE0})
    assert not {key for key in samples if SLICE1[1] in key}
    gpu.stub.show(scenarios.h100_mig())
    gpu.until(lambda samples: slices(samples) == {SLICE0, SLICE1})


def test_what_a_device_supports_is_asked_anew_when_its_mig_mode_changes(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100_mig())
    gpu.scrape()
    gpu.stub.show(scenarios.h100())

    whole = gpu.until(lambda samples: ("gpu_utilization_ratio", *GPU0) in samples)
    assert of(whole)["gpu_mig_mode_enabled"] == 0
    assert slices(whole) == set()
    gpu.stub.show(scenarios.h100_mig())
    cut = gpu.until(slices)
    assert "gpu_utilization_ratio" not in of(cut)


def test_a_slice_that_fails_is_counted_and_the_others_are_read(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100_mig().changed("0/0", {"return.nvmlDeviceGetUUID": 999}))
    samples = gpu.scrape()

    assert slices(samples) == {SLICE1}
    assert errors(samples)["mig"] >= 1
    assert samples["gpu_up", *GPU0] == 1


def test_slices_that_cannot_be_counted_are_absent_and_their_gpu_is_read(gpus: Callable[..., Gpus]) -> None:
    gpu = gpus(scenarios.h100_mig().changed(0, {"return.nvmlDeviceGetMaxMigDeviceCount": 999}))
    samples = gpu.scrape()

    assert slices(samples) == set()
    assert errors(samples)["mig"] >= 1
    assert samples["gpu_up", *GPU0] == 1


def test_processes_have_no_series_of_their_own_unless_asked_for(gpus: Callable[..., Gpus]) -> None:
    assert not {key for key in gpus(scenarios.h100()).scrape() if key[0] == "gpu_process_memory_bytes"}


def test_each_process_has_its_memory_and_its_programs_name_when_asked_for(gpus: Callable[..., Gpus]) -> None:
    scenario = scenarios.h100().changed("system", {"process_name.11327": "/usr/bin/python3.12 -m vllm serve"})
    samples = gpus(scenario, processes=True).scrape()

    assert labelled(samples, "gpu_process_memory_bytes") == {
        ("", "11327", "python3.12"): 2690646016,
        ("", "11328", "memhog"): 1616904192,
        ("", "11345", "gpu_burn"): 16452157440,
    }


def test_a_process_that_is_gone_or_hidden_has_no_name(gpus: Callable[..., Gpus]) -> None:
    scenario = scenarios.h100().changed("system", {"process_name.11327": None, "process_name.11328": " "})
    found = labelled(gpus(scenario, processes=True).scrape(), "gpu_process_memory_bytes")

    assert {process: name for _, process, name in found} == {"11327": "", "11328": "", "11345": "gpu_burn"}


def test_a_process_in_several_lists_is_one(gpus: Callable[..., Gpus]) -> None:
    lists = {"processes.compute": "1:100,2:200", "processes.graphics": "2:200", "processes.mps": "3:50"}
    found = of(gpus(scenarios.h100().changed(0, lists)).scrape())

    assert (found["gpu_processes"], found["gpu_processes_memory_bytes"]) == (3, 350)


def test_the_memory_of_processes_is_unknown_when_that_of_one_is(gpus: Callable[..., Gpus]) -> None:
    scenario = scenarios.h100().changed(0, {"processes.compute": "1:100,2:-"})
    samples = gpus(scenario, processes=True).scrape()
    found = of(samples)

    assert found["gpu_processes"] == 2
    assert "gpu_processes_memory_bytes" not in found
    assert labelled(samples, "gpu_process_memory_bytes") == {("", "1", ""): 100}
    assert found["gpu_values_dropped_total"] == 0


def test_an_idle_device_has_no_processes_and_says_so(gpus: Callable[..., Gpus]) -> None:
    found = of(gpus(scenarios.h100().changed(0, {"processes.compute": ""})).scrape())

    assert (found["gpu_processes"], found["gpu_processes_memory_bytes"]) == (0, 0)


def test_no_more_than_64_processes_have_series_those_with_most_memory(gpus: Callable[..., Gpus]) -> None:
    lists = {
        f"processes.{kind}": ",".join(f"{pid}:{pid * 1000}" for pid in range(first, first + 35))
        for kind, first in {"compute": 1, "graphics": 36}.items()
    }
    gpu = gpus(scenarios.h100().changed(0, lists), processes=True)
    samples = gpu.scrape()

    assert of(samples)["gpu_processes"] == 70
    named = labelled(samples, "gpu_process_memory_bytes")
    assert {int(pid) for _, pid, _ in named} == set(range(7, 71))
