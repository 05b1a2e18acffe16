"""Numbers as a person reads them."""

_BYTES_PER_UNIT = 1024
_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def figure(value: float | None, unit: str = "") -> str:
    """`value` in its base unit as text: ratios as per cent, seconds as s or ms, bytes with a binary prefix.

    None is "unknown".
    """
    if value is None:
        return "unknown"
    match unit:
        case "ratio":
            return f"{_short(100 * value)} %"
        case "seconds":
            return f"{_short(value)} s" if abs(value) >= 1 or value == 0 else f"{_short(1000 * value)} ms"
        case "bytes":
            return _bytes(value)
        case "":
            return _short(value)
        case _:
            return f"{_short(value)} {unit}"


def share_of(value: float | None) -> str:
    """A part of a whole, before "of": "12 %", "an unknown share"."""
    return "an unknown share" if value is None else figure(value, "ratio")


def counted(number: float, what: str) -> str:
    """A number of things: "1 replica", "2 replicas"."""
    return f"{figure(number)} {what}{'' if number == 1 else 's'}"


def sentence(text: str) -> str:
    """`text` with its first letter as it is at the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def _short(value: float) -> str:
    """Three significant digits, whole thousands, no exponent."""
    if value == int(value) or abs(value) >= 1000:  # noqa: PLR2004 - three digits need no fraction from here on
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.2g}"  # noqa: PLR2004 - likewise


def _bytes(value: float) -> str:
    for unit in _BYTE_UNITS[:-1]:
        if abs(value) < _BYTES_PER_UNIT:
            return f"{_short(value)} {unit}"
        value /= _BYTES_PER_UNIT
    return f"{_short(value)} {_BYTE_UNITS[-1]}"
