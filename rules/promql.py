"""PromQL building blocks of the generated source rules. Every function gives an expression as text."""

import re
from collections.abc import Iterable, Mapping, Sequence

from exporters.catalog import FRACTION_DIGITS, INTEGER_DIGITS, Reduce, Source, spellings

DIGIT_SERIES = "optiinfra:digit"


def selector(name: str, where: Mapping[str, Sequence[str]], window: str = "") -> str:
    """`name{label=~"a|b"}[window]`; labels with one value are matched by `=`."""
    matchers = [
        f"{label}={_quoted(values[0])}" if len(values) == 1 else f"{label}=~{_quoted('|'.join(map(re.escape, values)))}"
        for label, values in where.items()
    ]
    matched = f"{{{','.join(matchers)}}}" if matchers else ""
    return f"{name}{matched}{f'[{window}]' if window else ''}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def relabelled(expr: str, target: str, source: str) -> str:
    """The vector with the label `target` copied from `source`."""
    return f'label_replace({expr}, "{target}", "$1", "{source}", "(.*)")'


def aggregate(reduce: Reduce, labels: Iterable[str], expr: str) -> str:
    """`sum by (…) (expr)` or `max by (…) (expr)`."""
    return f"{reduce.value} by ({', '.join(labels)}) ({expr})"


def first_of(alternatives: Iterable[str]) -> str:
    """The first alternative that is present, for every label set apart."""
    return "\nor\n".join(alternatives)


def unless_probed(expr: str) -> str:
    """Nothing for a replica that the prober reads too: no series counts twice."""
    return f"(\n{indent(expr)}\n)\nunless on (service, instance) llm_up"


def indent(expr: str) -> str:
    """Two spaces before every line."""
    return "\n".join(f"  {line}" for line in expr.splitlines())


def engine_series(source: Source, suffix: str, window: str) -> list[str]:
    """An engine's series in both spellings, its counters as rate over `window`, in the canonical unit."""
    terms = []
    for name in spellings(source.name):
        expr = selector(name + suffix, source.where, window)
        expr = f"rate({expr})" if window else expr
        terms.append(expr if source.scale == 1.0 else f"{expr} * {source.scale!r}")
    return terms


def label_number(info: str, label: str, keep: Sequence[str]) -> str:
    """The number that a label holds, as `exporters.catalog.plain_number` reads it, by (`keep`).

    PromQL cannot turn a label into a number. So each digit is cut out of the label by its place, looked up in
    `optiinfra:digit{digit="7"} 7`, weighted, and the weighted digits are added up. The label `place` keeps equal
    digits of one number apart, which `or` would otherwise merge. `info` must hold plain numbers only. Weights are
    whole numbers, divided once at the end, so that the result is the nearest float, as in Python.
    """
    scale = 10**FRACTION_DIGITS
    digits = [
        (f"([0-9])[0-9]{{{place}}}([.][0-9]+)?", scale * 10**place, f"1e{place}")
        for place in reversed(range(INTEGER_DIGITS))
    ]
    patterns = [(f"[0-9]*{pattern}", weight, place) for pattern, weight, place in digits] + [
        (f"[0-9]+[.][0-9]{{{place}}}([0-9])[0-9]*", scale // 10 ** (place + 1), f"1e-{place + 1}")
        for place in range(FRACTION_DIGITS)
    ]
    terms = [
        f'label_replace(label_replace({info}, "digit", "$1", "{label}", "{pattern}"), "place", "{place}", "", "")'
        f" * on (digit) group_left () {DIGIT_SERIES} * {weight}"
        for pattern, weight, place in patterns
    ]
    return f"sum by ({', '.join(keep)}) (\n{indent(first_of(terms))}\n) / {scale}"
