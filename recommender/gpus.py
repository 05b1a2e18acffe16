"""What GPUs can do, from their data sheets: what MFU and MBU are counted against, and what memory is sized by.

Dense figures, as tuning §2.8 gives them: many sheets print the sparse ones, which are twice as high. Nothing reaches
them; what a good kernel does (0.8 of the arithmetic, 0.9 of the bandwidth, measured on an H200) are thresholds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Link(StrEnum):
    """How GPUs of one machine reach each other."""

    PCIE3 = "pcie3"
    PCIE4 = "pcie4"
    BRIDGE = "nvlink_bridge"  # pairs only, and only where one is fitted: not counted upon
    NVLINK = "nvlink"


# Bytes per second, both ways together for NVLink as the sheets print it, one way of 16 lanes for PCIe (tuning B19).
_LINK_BYTES_PER_SECOND = {Link.PCIE3: 16e9, Link.PCIE4: 32e9, Link.BRIDGE: 600e9}
_FP8_COMPUTE = 8.9  # tuning §2.8: FP8 products need this compute capability
_FP8_WEIGHTS = 7.5  # weight-only FP8 runs from here (W8A16)
_FP4_COMPUTE = 10.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """One product. `flops` is by the type that is computed with (FP16 and BF16 are equal): operations per second.

    `memory_bytes` is the sheet's, in decimal gigabytes; a driver tells a little more, and what it tells goes first.
    """

    bytes_per_second: float
    flops: Mapping[str, float]
    name: str
    memory_bytes: float
    compute_capability: float  # 8.9 means major 8, minor 9
    tdp_watts: float
    link: Link
    link_bytes_per_second: float

    @property
    def nvlink(self) -> bool:
        """Whether all GPUs of a machine are joined by NVLink: what tensor parallelism is worth hangs on it."""
        return self.link is Link.NVLINK

    @property
    def bf16(self) -> bool:
        """Whether it computes in BF16; Turing has FP16 alone."""
        return self.compute_capability >= 8.0  # noqa: PLR2004 - Ampere

    @property
    def fp8(self) -> bool:
        """Whether it computes in FP8; others run FP8 weights as W8A16 and gain memory alone."""
        return self.compute_capability >= _FP8_COMPUTE

    @property
    def fp8_weights(self) -> bool:
        """Whether it runs FP8 weights at all, be it only to unpack them (W8A16): memory, no arithmetic, is gained."""
        return self.compute_capability >= _FP8_WEIGHTS

    @property
    def fp4(self) -> bool:
        """Whether it computes in FP4 (Blackwell)."""
        return self.compute_capability >= _FP4_COMPUTE


def _gpu(  # noqa: PLR0917 - one row of a table
    name: str,
    capability: float,
    memory: float,
    bandwidth: float,
    fp16: float,
    fp8: float | None,
    int8: float | None,
    watts: float,
    link: Link | float,
) -> Gpu:
    """Memory in GB, bandwidth in GB/s, arithmetic in 10^12 a second; `link` as a number is that of NVLink in GB/s."""
    types = {"fp16": fp16, "fp8": fp8, "int8": int8}
    kind, rate = (link, _LINK_BYTES_PER_SECOND[link]) if isinstance(link, Link) else (Link.NVLINK, link * 1e9)
    flops = {key: tera * 1e12 for key, tera in types.items() if tera is not None}
    return Gpu(bandwidth * 1e9, flops, name, memory * 1e9, capability, watts, kind, rate)


_TABLE = (  # tuning §2.8, whole
    _gpu("t4", 7.5, 16, 320, 65, None, 130, 70, Link.PCIE3),
    _gpu("l4", 8.9, 24, 300, 121, 242, 242, 72, Link.PCIE4),
    _gpu("a10g", 8.6, 24, 600, 70, None, 140, 300, Link.PCIE4),
    _gpu("a100_40gb", 8.0, 40, 1555, 312, None, 624, 400, 600),
    _gpu("a100_80gb", 8.0, 80, 2039, 312, None, 624, 400, 600),
    _gpu("l40s", 8.9, 48, 864, 362, 733, 733, 350, Link.PCIE4),
    _gpu("h100_pcie", 9.0, 80, 2000, 756, 1513, 1513, 350, Link.BRIDGE),
    _gpu("h100_sxm", 9.0, 80, 3350, 989, 1979, 1979, 700, 900),
    _gpu("h200", 9.0, 141, 4800, 989, 1979, 1979, 700, 900),
    _gpu("b200", 10.0, 180, 8000, 2250, 4500, 4500, 1000, 1800),
    _gpu("rtx_4090", 8.9, 24, 1008, 165, 330, 661, 450, Link.PCIE4),
)
GPUS: Mapping[str, Gpu] = {gpu.name: gpu for gpu in _TABLE}

# What NVML and DCGM call them, without the maker's name, which older drivers leave out. A MIG slice has a longer name
# and is none of them: it has a share of everything.
_PRODUCTS = {
    "T4": "t4",
    "L4": "l4",
    "A10G": "a10g",
    "A100-SXM4-40GB": "a100_40gb",
    "A100-SXM4-80GB": "a100_80gb",
    "L40S": "l40s",
    "H100 PCIe": "h100_pcie",
    "H100 80GB HBM3": "h100_sxm",
    "H200": "h200",
    "B200": "b200",
    "GeForce RTX 4090": "rtx_4090",
}


def gpu_of_product(name: str) -> Gpu | None:
    """The row of a device by the name that its driver tells ("NVIDIA H100 80GB HBM3"); None for one not listed."""
    key = _PRODUCTS.get(re.sub(r"^(?:NVIDIA |Tesla )+", "", name.strip()))
    return None if key is None else GPUS[key]
