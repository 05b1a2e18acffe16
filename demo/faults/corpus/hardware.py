"""GPUs: heat (B12), power (B13), faults (B14), links (B19), memory (B01), and what looks like them."""

from collections.abc import Iterator

from demo.faults.corpus.shapes import (
    HOURS,
    HOURS_ONSET,
    LONG,
    MINUTE,
    ONSET,
    fault,
    gpu_from,
    lookalike,
    machine,
    steady,
)
from demo.faults.fleet import Fleet, GpuSource, Node, Replica
from demo.faults.gpu import GpuLife, GpuState
from demo.faults.scenario import Scenario
from demo.faults.traffic import Load
from rules.catalog.alerts import Bottleneck

B = Bottleneck
OURS, DCGM, BOTH = GpuSource


def scenarios() -> Iterator[Scenario]:
    """All of this subject."""
    yield from _heat()
    yield from _power()
    yield from _faults()
    yield from _links()
    yield from _memory()
    yield from _lookalikes()


def _stories(
    name: str, alerts: tuple[str, ...], state: GpuState, sources: tuple[GpuSource, ...], seed: int
) -> Iterator[Scenario]:
    for number, source in enumerate(sources):
        fleet = machine(seed + number, gpu=gpu_from(state), gpu_source=source)
        yield fault(f"{name}-{source.value}-{seed + number}", fleet, seed + number, *alerts)


def _heat() -> Iterator[Scenario]:
    software = GpuState(clock=0.7, temperature=86, reasons=(("sw_thermal_slowdown", 0.5),))
    yield from _stories("thermal-software", ("GPUThermalThrottle",), software, (OURS, DCGM, OURS), 101)
    hardware = GpuState(clock=0.45, temperature=89, reasons=(("hw_slowdown", 0.6), ("hw_thermal_slowdown", 0.6)))
    alerts = ("GPUThermalThrottle", "GPUHardwareSlowdown")
    yield from _stories("thermal-hardware", alerts, hardware, (OURS, DCGM), 104)


def _power() -> Iterator[Scenario]:
    brake = GpuState(clock=0.5, power_watts=350, reasons=(("hw_power_brake_slowdown", 0.4), ("hw_slowdown", 0.4)))
    yield from _stories("power-brake", ("GPUPowerBrake",), brake, (OURS, DCGM, OURS), 111)
    capped = GpuState(clock=0.66, power_watts=448, power_limit_watts=450, reasons=(("sw_power_cap", 0.9),))
    for seed, source in ((114, OURS), (115, DCGM), (116, OURS)):
        fleet = machine(seed, gpu=gpu_from(capped, HOURS_ONSET), gpu_source=source)
        yield fault(
            f"power-limit-{source.value}-{seed}",
            fleet,
            seed,
            "GPUPowerLimit",
            onset=HOURS_ONSET,
            duration=HOURS,
            interval=MINUTE,
        )


def _faults() -> Iterator[Scenario]:
    alert = ("GPUFault",)
    for number, xid in enumerate((79, 48, 95, 119)):
        yield from _stories(f"gpu-xid-{xid}", alert, GpuState(xid=xid), ((OURS, DCGM)[number % 2],), 121 + number)
    yield from _stories("gpu-ecc", alert, GpuState(uncorrected=1), (OURS, DCGM), 125)
    yield from _stories("gpu-remap-failure", alert, GpuState(remap_failure=True), (OURS,), 127)
    yield from _stories("gpu-lost", ("GPULost",), GpuState(up=False), (OURS, OURS), 128)
    pending = GpuState(xid=63, remap_pending=True)
    yield from _stories("gpu-repair-pending", ("GPURepairPending",), pending, (OURS, DCGM, OURS), 131)
    for seed, source, state in (
        (134, OURS, GpuState(replays_per_second=0.8)),
        (135, DCGM, GpuState(replays_per_second=2.0)),
        (136, OURS, GpuState(lanes=8)),
        (137, OURS, GpuState(nvlink_errors_per_second=0.5)),
    ):
        fleet = machine(seed, gpu=gpu_from(state), gpu_source=source)
        yield fault(f"link-degraded-{seed}", fleet, seed, "GPULinkDegraded", duration=LONG)


def _links() -> Iterator[Scenario]:
    full = GpuState(pcie=0.88)
    yield from _stories("pcie-full", ("GPULinkSaturation",), full, (OURS, DCGM, BOTH), 141)


def _memory() -> Iterator[Scenario]:
    tight = GpuState(memory=0.95)
    for seed, leaking in (
        (151, GpuState(memory=0.972, memory_growth_per_hour=0.016)),
        (152, GpuState(memory=0.975, memory_growth_per_hour=0.02)),
        (153, GpuState(memory=0.985, memory_growth_per_hour=0.01)),
    ):
        fleet = machine(seed, gpu=gpu_from(leaking, 3300.0, tight), gpu_source=(OURS, DCGM)[seed % 2])
        yield fault(
            f"gpu-memory-{seed}", fleet, seed, "GPUMemoryPressure", onset=3300.0, duration=HOURS, interval=MINUTE
        )
    last = GpuState(memory=0.9955)
    fleet = machine(154, gpu=gpu_from(last, 3300.0, tight))
    alerts = ("GPUMemoryPressure", "GPUMemoryExhaustion")
    yield fault("gpu-memory-exhausted", fleet, 154, *alerts, onset=3300.0, duration=HOURS, interval=MINUTE)


def _lookalikes() -> Iterator[Scenario]:
    hot = GpuState(temperature=84, clock=0.93)
    capped = GpuState(clock=0.86, power_watts=697, reasons=(("sw_power_cap", 0.8),))
    for seed, of, state in (
        (161, B.GPU_THERMAL_THROTTLE, hot),
        (163, B.GPU_POWER_LIMIT, capped),
        (164, B.GPU_FAULT, GpuState(xid=13)),
        (165, B.GPU_FAULT, GpuState(xid=31)),
        (166, B.GPU_LINK_DEGRADED, GpuState(replays_per_second=0.02)),
        (167, B.INTERCONNECT_SATURATION, GpuState(pcie=0.55)),
        (168, B.GPU_FAULT, GpuState(xid=43)),
    ):
        for source in (OURS, DCGM):
            fleet = machine(seed, gpu=gpu_from(state), gpu_source=source)
            yield lookalike(f"gpu-{of.value}-not-{source.value}-{seed}", fleet, seed, of)
    # One scrape sees the hardware slow down, as at a change of performance state.
    flicker = GpuState(reasons=(("hw_slowdown", 1.0),))
    once = GpuLife(((0.0, GpuState()), (ONSET, flicker), (ONSET + 15, GpuState())))
    for source in (OURS, DCGM):
        fleet = machine(162, gpu=once, gpu_source=source)
        yield lookalike(f"thermal-one-flicker-{source.value}", fleet, 162, B.GPU_THERMAL_THROTTLE)
    # At the cap of the default limit for an hour, and lowered without need.
    for seed, state in ((171, capped), (172, GpuState(power_watts=350, power_limit_watts=450))):
        fleet = machine(seed, gpu=gpu_from(state))
        yield lookalike(f"power-limit-not-{seed}", fleet, seed, B.GPU_POWER_LIMIT, duration=HOURS, interval=MINUTE)
    # An idle GPU in its power-saving state: low clocks, a narrow link.
    idle = GpuState(utilization=0, clock=0.17, power_watts=70, lanes=8, reasons=(("gpu_idle", 1.0),), dram=0, tensor=0)
    fleet = machine(173, gpu=GpuLife(((0.0, idle),)))
    yield lookalike("link-degraded-idle", fleet, 173, B.GPU_LINK_DEGRADED, duration=LONG)
    # Weights are loaded: the link is full for a minute and a half, memory fills.
    loading = (0.0, GpuState(memory=0.05)), (ONSET, GpuState(memory=0.5, pcie=0.9)), (ONSET + 90, GpuState())
    starting = machine(174, gpu=GpuLife(loading))
    yield lookalike("pcie-loading-weights", starting, 174, B.INTERCONNECT_SATURATION)
    # Pre-allocated memory, full and flat; and a start that fills it.
    flat = GpuState(memory=0.98)
    fleet = machine(175, gpu=GpuLife(((0.0, flat),)))
    yield lookalike("gpu-memory-flat", fleet, 175, B.GPU_MEMORY_PRESSURE, duration=HOURS, interval=MINUTE)
    filled = GpuLife(((0.0, GpuState(memory=0.02, utilization=0)), (HOURS_ONSET, flat)))
    fleet = machine(176, gpu=filled)
    yield lookalike("gpu-memory-start", fleet, 176, B.GPU_MEMORY_PRESSURE, duration=HOURS, interval=MINUTE)
    # A full link on a machine on which nothing is served.
    copying = Node(gpus=(GpuLife(), gpu_from(GpuState(pcie=0.9))))
    idle_fleet = Fleet((Replica(steady(177, Load())),), (copying,))
    yield lookalike("pcie-full-nobody-served", idle_fleet, 177, B.INTERCONNECT_SATURATION)
