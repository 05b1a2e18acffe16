"""How GPUs are read."""

import click

from exporters.errors import SettingsError
from exporters.options.group import Group, option
from exporters.settings import GpuSettings


def _settings(*, gpu_interval_seconds: float, gpu_slow_interval_seconds: float, gpu_processes: bool) -> GpuSettings:
    if gpu_interval_seconds > gpu_slow_interval_seconds:
        raise SettingsError(
            f"--gpu-interval-seconds {gpu_interval_seconds:g} is more than "
            f"--gpu-slow-interval-seconds {gpu_slow_interval_seconds:g}: what costs more is not read more often; "
            f"raise the latter to {gpu_interval_seconds:g} or more"
        )
    return GpuSettings(gpu_interval_seconds, gpu_slow_interval_seconds, gpu_processes)


GROUP = Group(
    _settings,
    (
        option(
            "--gpu-interval-seconds",
            type=click.FloatRange(min=0.1),
            default=1.0,
            env="OPTIINFRA_EXPORTER_GPU_INTERVAL_SECONDS",
            text="How often utilization, memory, power, clocks and temperature of GPUs are read.",
        ),
        option(
            "--gpu-slow-interval-seconds",
            type=click.FloatRange(min=0.1),
            default=5.0,
            env="OPTIINFRA_EXPORTER_GPU_SLOW_INTERVAL_SECONDS",
            text="How often what costs more is read: PCIe traffic, processes, errors, MIG slices. Limits and maxima "
            "are read with every twelfth of these readings. Not more often than the others.",
        ),
        option(
            "--gpu-processes/--no-gpu-processes",
            default=False,
            env="OPTIINFRA_EXPORTER_GPU_PROCESSES",
            text="Give each process on a GPU a series of its own.",
        ),
    ),
)
