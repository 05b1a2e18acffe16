"""What GPUs can do, from their data sheets: what MFU and MBU are counted against.

Dense figures, as tuning §2.8 gives them: many sheets print the sparse ones, which are twice as high. Nothing reaches
them; what a good kernel does (0.8 of the arithmetic, 0.9 of the bandwidth, measured on an H200) are thresholds.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One product. `flops` is by the type that is computed with (FP16 and BF16 are equal): operations per second."""

    bytes_per_second: float
    flops: Mapping[str, float]


def _gpu(gigabytes: float, fp16: float, fp8: float | None = None, int8: float | None = None) -> Gpu:
    """Bandwidth in GB/s, arithmetic in 10^12 a second."""
    types = {"fp16": fp16, "fp8": fp8, "int8": int8}
    return Gpu(gigabytes * 1e9, {name: tera * 1e12 for name, tera in types.items() if tera is not None})


GPUS: Mapping[str, Gpu] = {
    "t4": _gpu(320, 65, None, 130),
    "l4": _gpu(300, 121, 242, 242),
    "a10g": _gpu(600, 70, None, 140),
    "a100_40gb": _gpu(1555, 312, None, 624),
    "a100_80gb": _gpu(2039, 312, None, 624),
    "l40s": _gpu(864, 362, 733, 733),
    "h100_pcie": _gpu(2000, 756, 1513, 1513),
    "h100_sxm": _gpu(3350, 989, 1979, 1979),
    "h200": _gpu(4800, 989, 1979, 1979),
    "b200": _gpu(8000, 2250, 4500, 4500),
    "rtx_4090": _gpu(1008, 165, 330, 661),
}
