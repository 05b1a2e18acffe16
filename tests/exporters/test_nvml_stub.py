"""The NVML stub, asked by the real pynvml: structs, units, error codes, and what a scenario can make it do."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynvml as nvml
import pytest

from tests.exporters.nvml_stub import scenarios
from tests.exporters.nvml_stub.stub import NvmlStub

UNKNOWN = nvml.NVML_VALUE_NOT_AVAILABLE_uint.value


@pytest.fixture(name="stub")
def _stub(nvml_stub: NvmlStub) -> Iterator[NvmlStub]:
    """A session with the stub, which says what `show` is given."""
    with nvml_stub.in_process():
        nvml.nvmlInit()
        yield nvml_stub
        nvml.nvmlShutdown()


def device(index: int = 0) -> Any:
    return nvml.nvmlDeviceGetHandleByIndex(index)


def field(number: int, scope: int = 0, index: int = 0) -> Any:
    (found,) = nvml.nvmlDeviceGetFieldValues(device(index), [(number, scope)])
    return found


# Every call of the contract, and what an H100 under load answers.
ANSWERS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "uuid": (nvml.nvmlDeviceGetUUID, "GPU-00000000-0000-0000-0000-000000000000"),
    "name": (nvml.nvmlDeviceGetName, "NVIDIA H100 80GB HBM3"),
    "minor": (nvml.nvmlDeviceGetMinorNumber, 0),
    "capability": (nvml.nvmlDeviceGetCudaComputeCapability, (9, 0)),
    "bus": (lambda gpu: nvml.nvmlDeviceGetPciInfo(gpu).busId, "00000000:00:09.0"),
    "bus parts": (lambda gpu: nvml.nvmlDeviceGetPciInfo(gpu).device, 9),
    "utilization": (lambda gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu, 100),
    "memory busy": (lambda gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).memory, 11),
    "encoder": (nvml.nvmlDeviceGetEncoderUtilization, [0, 167000]),
    "decoder": (nvml.nvmlDeviceGetDecoderUtilization, [0, 167000]),
    "used": (lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2).used, 20780679168),
    "reserved": (lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2).reserved, 502267904),
    "total": (lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2).total, 85520809984),
    "used, old": (lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used, 20780679168 + 502267904),
    "sm clock": (lambda gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM), 1980),
    "memory clock": (lambda gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_MEM), 2619),
    "reasons": (nvml.nvmlDeviceGetCurrentClocksEventReasons, 0),
    "reasons, old": (nvml.nvmlDeviceGetCurrentClocksThrottleReasons, 0),
    "reasons supported": (nvml.nvmlDeviceGetSupportedClocksEventReasons, 511),
    "reasons supported, old": (nvml.nvmlDeviceGetSupportedClocksThrottleReasons, 511),
    "violation": (lambda gpu: nvml.nvmlDeviceGetViolationStatus(gpu, nvml.NVML_PERF_POLICY_POWER).violationTime, 0),
    "power": (nvml.nvmlDeviceGetPowerUsage, 631950),
    "limit": (nvml.nvmlDeviceGetEnforcedPowerLimit, 700000),
    "default limit": (nvml.nvmlDeviceGetPowerManagementDefaultLimit, 700000),
    "energy": (nvml.nvmlDeviceGetTotalEnergyConsumption, 123456789012),
    "temperature": (lambda gpu: nvml.nvmlDeviceGetTemperatureV(gpu, nvml.NVML_TEMPERATURE_GPU), 59),
    "temperature, old": (lambda gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU), 59),
    "margin": (nvml.nvmlDeviceGetMarginTemperature, 26),
    "slowdown": (lambda gpu: nvml.nvmlDeviceGetTemperatureThreshold(gpu, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN), 87),
    "shutdown": (lambda gpu: nvml.nvmlDeviceGetTemperatureThreshold(gpu, nvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN), 93),
    "pcie out": (lambda gpu: nvml.nvmlDeviceGetPcieThroughput(gpu, nvml.NVML_PCIE_UTIL_TX_BYTES), 1500000),
    "pcie in": (lambda gpu: nvml.nvmlDeviceGetPcieThroughput(gpu, nvml.NVML_PCIE_UTIL_RX_BYTES), 250000),
    "generation": (nvml.nvmlDeviceGetCurrPcieLinkGeneration, 5),
    "generation most": (nvml.nvmlDeviceGetMaxPcieLinkGeneration, 5),
    "width": (nvml.nvmlDeviceGetCurrPcieLinkWidth, 16),
    "width most": (nvml.nvmlDeviceGetMaxPcieLinkWidth, 16),
    "replays": (nvml.nvmlDeviceGetPcieReplayCounter, 0),
    "link state": (lambda gpu: nvml.nvmlDeviceGetNvLinkState(gpu, 17), 1),
    "link errors": (lambda gpu: nvml.nvmlDeviceGetNvLinkErrorCounter(gpu, 0, nvml.NVML_NVLINK_ERROR_DL_REPLAY), 0),
    "ecc mode": (nvml.nvmlDeviceGetEccMode, [1, 1]),
    "ecc": (lambda gpu: nvml.nvmlDeviceGetTotalEccErrors(gpu, 1, nvml.NVML_AGGREGATE_ECC), 0),
    "remapped": (nvml.nvmlDeviceGetRemappedRows, (0, 0, 0, 0)),
    "processes": (lambda gpu: [p.pid for p in nvml.nvmlDeviceGetComputeRunningProcesses(gpu)], [11327, 11328, 11345]),
    "process memory": (lambda gpu: nvml.nvmlDeviceGetComputeRunningProcesses(gpu)[1].usedGpuMemory, 1616904192),
    "graphics": (nvml.nvmlDeviceGetGraphicsRunningProcesses, []),
    "mps": (nvml.nvmlDeviceGetMPSComputeRunningProcesses, []),
    "mig": (nvml.nvmlDeviceGetMigMode, [0, 0]),
    "persistence": (nvml.nvmlDeviceGetPersistenceMode, 1),
    "performance": (nvml.nvmlDeviceGetPerformanceState, 0),
    "events": (nvml.nvmlDeviceGetSupportedEventTypes, 0x1B),
}


@pytest.mark.usefixtures("stub")
@pytest.mark.parametrize("name", ANSWERS)
def test_an_h100_under_load_answers_as_captured(name: str) -> None:
    call, answer = ANSWERS[name]
    assert call(device()) == answer


@pytest.mark.usefixtures("stub")
def test_the_system_says_its_versions_and_process_names() -> None:
    assert nvml.nvmlSystemGetDriverVersion() == "590.48.01"
    assert nvml.nvmlSystemGetNVMLVersion() == "13.590.48.01"
    assert nvml.nvmlSystemGetCudaDriverVersion_v2() == 13010
    assert nvml.nvmlSystemGetProcessName(11345) == "./gpu_burn"
    assert nvml.nvmlDeviceGetCount() == 1
    assert nvml.nvmlErrorString(nvml.NVML_ERROR_GPU_IS_LOST) == "GPU is lost"


@pytest.mark.usefixtures("stub")
def test_fields_give_what_no_call_gives() -> None:
    assert field(nvml.NVML_FI_DEV_MEMORY_TEMP).value.uiVal == 54
    assert field(nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, UNKNOWN).value.ullVal == 36000000
    assert field(nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, 17).value.ullVal == 1000000
    assert field(nvml.NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT).value.siVal == -2
    assert field(nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, 18).nvmlReturn == nvml.NVML_ERROR_NOT_SUPPORTED
    assert field(nvml.NVML_FI_DEV_C2C_LINK_COUNT).nvmlReturn == nvml.NVML_ERROR_NOT_SUPPORTED


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_every_scenario_can_be_read(stub: NvmlStub, name: str) -> None:
    stub.show(scenarios.SCENARIOS[name]())
    assert nvml.nvmlDeviceGetCount() == stub.scenario.devices
    for index in range(stub.scenario.devices):
        assert nvml.nvmlDeviceGetUUID(device(index)) == scenarios.UUID.format(index=index)


def test_what_a_device_has_not_is_not_supported(stub: NvmlStub) -> None:
    stub.show(scenarios.l40s())
    with pytest.raises(nvml.NVMLError_NotSupported):
        nvml.nvmlDeviceGetNvLinkState(device(), 0)
    assert field(nvml.NVML_FI_DEV_MEMORY_TEMP).nvmlReturn == nvml.NVML_ERROR_NOT_SUPPORTED
    assert nvml.nvmlDeviceGetEncoderUtilization(device())[0] == 60


def test_mig_slices_are_devices_of_their_own(stub: NvmlStub) -> None:
    stub.show(scenarios.h100_mig())
    whole = device()
    with pytest.raises(nvml.NVMLError_NotSupported):
        nvml.nvmlDeviceGetUtilizationRates(whole)
    assert nvml.nvmlDeviceGetMigMode(whole) == [1, 1]
    assert nvml.nvmlDeviceGetMaxMigDeviceCount(whole) == 7
    second = nvml.nvmlDeviceGetMigDeviceHandleByIndex(whole, 1)
    assert nvml.nvmlDeviceGetUUID(second) == "MIG-00000000-0000-0000-0000-000000000001"
    assert nvml.nvmlDeviceIsMigDeviceHandle(second).value == 1
    assert (nvml.nvmlDeviceGetGpuInstanceId(second), nvml.nvmlDeviceGetComputeInstanceId(second)) == (2, 0)
    assert nvml.nvmlDeviceGetAttributes(second).memorySizeMB == 40448
    assert nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(second)).startswith("GPU-")
    (process,) = nvml.nvmlDeviceGetComputeRunningProcesses(second)
    assert (process.pid, process.gpuInstanceId) == (21181, 2)
    with pytest.raises(nvml.NVMLError_NotFound):
        nvml.nvmlDeviceGetMigDeviceHandleByIndex(whole, 2)
    with pytest.raises(nvml.NVMLError_NotSupported):
        nvml.nvmlDeviceGetPowerUsage(second)


def test_ecc_and_memory_repairs_are_counted(stub: NvmlStub) -> None:
    stub.show(scenarios.ecc())
    assert nvml.nvmlDeviceGetTotalEccErrors(device(), 1, nvml.NVML_VOLATILE_ECC) == 2
    assert nvml.nvmlDeviceGetRemappedRows(device()) == (3, 1, 1, 1)
    with pytest.raises(nvml.NVMLError_NotSupported):
        nvml.nvmlDeviceGetRetiredPages(device(), 0)
    assert len(nvml.nvmlDeviceGetRetiredPages(device(1), 0)) == 4
    assert len(nvml.nvmlDeviceGetRetiredPages_v2(device(1), 1)) == 1
    assert nvml.nvmlDeviceGetRetiredPagesPendingStatus(device(1)) == 1


def test_counters_move_with_time(stub: NvmlStub) -> None:
    scenario = scenarios.throttled()
    # Ten seconds after its epoch, 0.6 s of each second at the power cap.
    stub.show(scenario.changed("system", {"epoch": f"{time.time() - 10:.3f}"}))
    seen = nvml.nvmlDeviceGetViolationStatus(device(), nvml.NVML_PERF_POLICY_POWER).violationTime
    assert seen / 1e9 == pytest.approx(13, abs=2)


def test_sentinels_are_given_as_success(stub: NvmlStub) -> None:
    stub.show(scenarios.sentinels())
    assert nvml.nvmlDeviceGetPowerUsage(device()) == 0xFFFFFFFF
    assert nvml.nvmlDeviceGetTotalEnergyConsumption(device()) == 0xFFFFFFFFFFFFFFFF


def test_events_come_once_in_order_and_only_to_who_registered(stub: NvmlStub) -> None:
    stub.show(scenarios.xid())
    events = nvml.nvmlEventSetCreate()
    with pytest.raises(nvml.NVMLError_Timeout):
        nvml.nvmlEventSetWait_v2(events, 0)
    for index in range(2):
        nvml.nvmlDeviceRegisterEvents(device(index), nvml.nvmlEventTypeXidCriticalError, events)
    seen = [nvml.nvmlEventSetWait_v2(events, 0) for _ in range(3)]
    assert [(nvml.nvmlDeviceGetIndex(event.device), event.eventData) for event in seen] == [(0, 48), (0, 79), (1, 94)]
    with pytest.raises(nvml.NVMLError_Timeout):
        nvml.nvmlEventSetWait_v2(events, 1)
    stub.show(stub.scenario.changed(1, {"events": "8:94,8:95"}))
    assert nvml.nvmlEventSetWait_v2(events, 1000).eventData == 95
    nvml.nvmlEventSetFree(events)


def test_events_wake_a_thread_that_waits(stub: NvmlStub) -> None:
    events = nvml.nvmlEventSetCreate()
    nvml.nvmlDeviceRegisterEvents(device(), nvml.nvmlEventTypeXidCriticalError, events)
    seen: list[int] = []
    waiter = threading.Thread(target=lambda: seen.append(nvml.nvmlEventSetWait_v2(events, 20000).eventData))
    waiter.start()
    stub.show(stub.scenario.changed(0, {"events": "8:79"}))
    waiter.join(10)
    assert seen == [79]


def test_a_call_hangs_on_one_device_until_the_scenario_lets_it_go(stub: NvmlStub) -> None:
    stub.show(scenarios.h100(devices=2).changed(1, {"hang.nvmlDeviceGetPowerUsage": 1}))
    done = threading.Event()

    def ask() -> None:
        nvml.nvmlDeviceGetPowerUsage(device(1))
        done.set()

    stuck = threading.Thread(target=ask)
    stuck.start()
    assert nvml.nvmlDeviceGetPowerUsage(device(0)) == 631950
    assert not done.wait(0.05)
    stub.show(stub.scenario.changed(1, {"hang.nvmlDeviceGetPowerUsage": None}))
    assert done.wait(10)
    stuck.join(10)


def test_a_device_is_lost_after_some_calls(stub: NvmlStub) -> None:
    stub.show(scenarios.lost())
    for _ in range(20):
        nvml.nvmlDeviceGetPowerUsage(device(1))
    with pytest.raises(nvml.NVMLError_GpuIsLost):
        nvml.nvmlDeviceGetName(device(1))
    assert nvml.nvmlDeviceGetUUID(device(1)) == scenarios.UUID.format(index=1)
    assert nvml.nvmlDeviceGetPowerUsage(device(0)) == 631950


def test_a_call_fails_as_often_as_the_scenario_says(stub: NvmlStub) -> None:
    stub.show(scenarios.h100().changed("system", {"return.nvmlInitWithFlags": "9,18,0"}))
    with pytest.raises(nvml.NVMLError_DriverNotLoaded):
        nvml.nvmlInit()
    with pytest.raises(nvml.NVMLError_LibRmVersionMismatch):
        nvml.nvmlInit()
    nvml.nvmlInit()
    nvml.nvmlShutdown()


def test_a_driver_that_went_away_knows_no_session(nvml_stub: NvmlStub) -> None:
    with nvml_stub.in_process():
        nvml.nvmlInit()
        nvml.nvmlShutdown()
        with pytest.raises(nvml.NVMLError_Uninitialized):
            nvml.nvmlDeviceGetCount()


def test_latency_is_slept_and_not_spun(stub: NvmlStub) -> None:
    stub.show(scenarios.realistic(scenarios.h100()))
    wall, cpu = time.perf_counter(), time.thread_time()
    for _ in range(5):
        nvml.nvmlDeviceGetPcieThroughput(device(), nvml.NVML_PCIE_UTIL_TX_BYTES)
    assert time.perf_counter() - wall >= 0.1
    assert time.thread_time() - cpu < 0.05


def test_an_old_driver_does_not_export_the_new_calls(old_nvml_library: Path, tmp_path: Path) -> None:
    with NvmlStub(old_nvml_library, tmp_path / "old.scenario", scenarios.h100()).in_process():
        nvml.nvmlInit()
        with pytest.raises(nvml.NVMLError_FunctionNotFound):
            nvml.nvmlDeviceGetMemoryInfo(device(), version=nvml.nvmlMemory_v2)
        with pytest.raises(nvml.NVMLError_FunctionNotFound):
            nvml.nvmlDeviceGetCurrentClocksEventReasons(device())
        assert nvml.nvmlDeviceGetCurrentClocksThrottleReasons(device()) == 0
        assert nvml.nvmlDeviceGetMemoryInfo(device()).used == 20780679168 + 502267904
        nvml.nvmlShutdown()


def test_threads_may_ask_while_the_scenario_changes(stub: NvmlStub) -> None:
    stub.show(scenarios.eight_gpus())
    wrong: list[int] = []

    def ask(index: int) -> None:
        gpu = device(index)
        for _ in range(200):
            watts = nvml.nvmlDeviceGetPowerUsage(gpu) // 1000
            if watts not in {631 - index, 500}:
                wrong.append(watts)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for power in (500000, None) * 10:
        changed = scenarios.eight_gpus()
        for index in range(8 if power else 0):
            changed = changed.changed(index, {"power_mw": power})
        stub.show(changed)
    for thread in threads:
        thread.join(30)
    assert not wrong
