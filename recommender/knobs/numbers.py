"""Numbers as engines write them: plain, with a suffix for thousands, or as a duration."""

import math
import re
from enum import StrEnum

_SUFFIXES = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)  # as all engines read it
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_SUFFIXED = re.compile(r"(\d+(?:\.\d+)?)([kmgt])|(\d+)([KMGT])", re.ASCII)  # no fraction before a power of two
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


class Notation(StrEnum):
    """How an engine writes a number."""

    PLAIN = "plain"
    SUFFIX = "suffix"  # 32k = 32000, 32K = 32768, 25.6k = 25600, as vLLM has them; 1.5K it refuses
    BATCH_SIZES = "batch_sizes"  # the list 1,2,4,8 for 8: what it holds at most is the number
    DURATION = "duration"  # 5m, 1h30m, seconds without a unit, anything negative: for ever (-1)


def plain(value: object) -> float | None:
    """A finite number, or text that is one; None otherwise. A boolean is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def read(value: object, notation: Notation, *, whole: bool = False) -> float | None:
    """The number that an engine's configuration holds, in the engine's unit; None when it is none.

    `whole`: the engine reads text as a whole number, and refuses `8.0` and `1e3`.
    """
    number = plain(value)
    if whole and isinstance(value, str) and notation is not Notation.DURATION and not _WHOLE.fullmatch(value.strip()):
        number = None
    if isinstance(value, str) and number is None:
        text = value.strip()
        if notation is Notation.SUFFIX and (match := _SUFFIXED.fullmatch(text)) is not None:
            digits, suffix = match[1] or match[3], match[2] or match[4]
            return _whole(float(digits) * _SUFFIXES[suffix])
        if notation is Notation.BATCH_SIZES:
            sizes = [plain(size) for size in text.split(",")]
            number = max((size for size in sizes if size is not None), default=None) if None not in sizes else None
        elif notation is Notation.DURATION:
            number = _duration(text)
    return -1.0 if notation is Notation.DURATION and number is not None and number < 0 else number


def written(value: float, scale: float, notation: Notation, *, whole: bool) -> int | float | str:
    """A number of base units in units of `scale` of them, as it is written; `whole` cuts a fraction off."""
    number = value if scale == 1 else value / scale
    if notation is Notation.BATCH_SIZES:
        largest = math.floor(number)
        return ",".join(str(size) for size in sorted({2**power for power in range(largest.bit_length())} | {largest}))
    if notation is Notation.DURATION:
        return f"{math.floor(number)}s"
    # A quotient that is whole but for the last bit is whole.
    near = round(number)
    if math.isclose(number, near, rel_tol=1e-12):
        return int(near) if whole or isinstance(value, int) else number
    return math.floor(number) if whole else number


def _whole(number: float) -> float | None:
    """A fraction is cut off, as `int` does; None above what a float counts exactly."""
    return float(math.floor(number)) if number < 2**53 else None


def _duration(text: str) -> float | None:
    negative, digits = text.startswith("-"), text.lstrip("+-")
    parts = _PART.findall(digits)
    if not parts or "".join(number + unit for number, unit in parts) != digits:
        return None
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return -seconds if negative else seconds
