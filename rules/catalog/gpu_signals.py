"""Signals of GPUs, recorded by the GPU sources (`rules/sources/optiinfra_gpu.yml`, `dcgm.yml`, …)."""

from rules.catalog.signal import Signal

GPU_LABELS = ("node", "gpu", "uuid")

GPU_SIGNALS = (
    Signal("gpu:gpu_memory_used:ratio", "ratio", "Used over total device memory."),
    Signal("gpu:gpu_memory_free_bytes", "bytes", "Free device memory."),
    Signal("gpu:gpu_utilization:ratio", "ratio", "Share of time in which a kernel ran; never judged alone."),
    Signal("gpu:gpu_power_watts", "watts", "Power draw."),
    Signal("gpu:gpu_temperature_celsius", "celsius", "Core temperature."),
    Signal("gpu:bottleneck:evidence", "", "Condition of a bottleneck of a GPU; label `bottleneck`."),
)
