"""PromQL building blocks of the generated source rules. Every function gives an expression as text."""

import re
from collections.abc import Iterable, Mapping, Sequence

from exporters.catalog import FRACTION_DIGITS, INTEGER_DIGITS, NUMBER_PATTERN, Engine, Reduce

DIGIT_SERIES = "optiinfra:digit"
BOTH_WAYS_SERIES = "instance:llm_up:both_ways"


def selector(name: str, where: Mapping[str, Sequence[str]], window: str = "", *also: str) -> str:
    """`name{label=~"a|b.*"}[window]` for the values `a` and `b*`; one value is matched by `=`. `also`: matchers."""
    matchers = [*(f"{label}{_matcher(values)}" for label, values in where.items()), *also]
    matched = f"{{{','.join(matchers)}}}" if matchers else ""
    return f"{name}{matched}{f'[{window}]' if window else ''}"


def _matcher(values: Sequence[str]) -> str:
    if len(values) == 1 and not values[0].endswith("*"):
        return f"={_quoted(values[0])}"
    patterns = (f"{re.escape(value[:-1])}.*" if value.endswith("*") else re.escape(value) for value in values)
    return f"=~{_quoted('|'.join(patterns))}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def model_of(series: str, label: str | None) -> str:
    """The series with the label `model`, copied from the engine's `label`; the target's own where that is None."""
    if label in (None, "model"):
        return series
    copied = f'"model", "$1", "{label}", "(.*)"'
    return (
        f"label_replace(\n{indent(series)},\n  {copied}\n)" if "\n" in series else f"label_replace({series}, {copied})"
    )


def relabelled(series: str, *arguments: str) -> str:
    """`label_replace` of the series, whose arguments (label, replacement, source, pattern) are written as they are."""
    quoted = ", ".join(_quoted(each) for each in arguments)
    return f"label_replace(\n{indent(series)},\n  {quoted}\n)"


def aggregate(reduce: Reduce, labels: Iterable[str], expr: str) -> str:
    """`sum by (…) (expr)` or `max by (…) (expr)`."""
    return f"{reduce.value} by ({', '.join(labels)}) ({in_block(expr)})"


def counted(labels: Iterable[str], expr: str) -> str:
    """`count by (…) (expr)`."""
    return f"count by ({', '.join(labels)}) ({in_block(expr)})"


def in_block(expr: str) -> str:
    """An expression between brackets: one of several lines is indented."""
    return f"\n{indent(expr)}\n" if "\n" in expr else expr


def first_of(alternatives: Iterable[str]) -> str:
    """The first alternative that is present, for every label set apart."""
    return "\nor\n".join(alternatives)


def plausible(expr: str) -> str:
    """Nothing of what an engine cannot mean: NaN, and the -1 by which some say that they do not know."""
    return f"(\n{indent(expr)}\n) >= 0"


def read_both_ways(engine: Engine) -> str:
    """The replicas of an engine that the prober reads and another job too; usually none."""
    probed = f'group by (service, instance) (llm_up{{engine="{engine.value}"}})'
    return f'{probed}\nand on (service, instance) up{{job!="llm-probe"}}'


def unless_probed(expr: str, engine: Engine) -> str:
    """Nothing for a replica that the prober reads too: no series counts twice.

    It asks for what `read_both_ways` recorded, which is next to nothing, and not for the `llm_up` of a whole fleet.
    """
    return f'{expr}\nunless on (service, instance) {BOTH_WAYS_SERIES}{{engine="{engine.value}"}}'


def together(terms: Sequence[str]) -> str:
    """Series of several terms side by side, for a sum. A label keeps them apart, for `or` drops what is there."""
    first, *others = terms
    marked = (f'label_replace({term}, "term", "{number}", "", "")' for number, term in enumerate(others, start=2))
    return first_of((first, *marked))


# Bounds that `thousandth_bounds` cannot read: a bucket with a wrong bound would spoil every quantile, one bucket less
# makes them coarser.
READABLE_BOUNDS = 'le!~".*e.*"'


def thousandth_bounds(buckets: str) -> str:
    """Buckets with bounds in thousandths as buckets with bounds in whole units: `le="500"` is `le="0.5"`.

    PromQL cannot calculate with labels, so the point is moved: zeros before, the point three places to the left, zeros
    off the end. At least one digit stays behind the point ("2.0"), which is how Prometheus 3 writes bounds.
    """
    steps = [
        ("000$1.$2", "([0-9]+)(?:[.]([0-9]+))?"),
        ("$1.$2$3", "0*([0-9]+)([0-9]{3})[.]([0-9]*)"),
        ("$1", "([0-9]+[.][0-9]+?)0*"),
    ]
    for replacement, pattern in steps:
        buckets = f'label_replace(\n{indent(buckets)},\n  "le", "{replacement}", "le", "{pattern}"\n)'
    return buckets


def indent(expr: str) -> str:
    """Two spaces before every line."""
    return "\n".join(f"  {line}" for line in expr.splitlines())


def numbers_of(texts: str, engine: Engine) -> str:
    """The numbers that the label `text` of `texts` holds, by it, as `exporters.catalog.plain_number` reads them.

    PromQL cannot turn a label into a number. So each digit is cut out of the text by its place, looked up in
    `optiinfra:digit{digit="7"} 7`, weighted, and the weighted digits are added up. The label `place` keeps equal
    digits of one number apart, which `or` would otherwise merge. Weights are whole numbers, divided once at the end, so
    that the result is the nearest float, as in Python. `texts` must hold plain numbers only.
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
        f'label_replace(label_replace({texts}, "digit", "$1", "text", "{pattern}"), "place", "{place}", "", "")'
        f' * on (digit) group_left () {DIGIT_SERIES}{{engine="{engine.value}"}} * {weight}'
        for pattern, weight, place in patterns
    ]
    return f"{aggregate(Reduce.SUM, ['text'], first_of(terms))} / {scale}"


def text_of(series: str, label: str) -> str:
    """The series whose `label` holds a plain number, with that as the label `text` too."""
    return f'label_replace({series}{{{label}=~"{NUMBER_PATTERN}"}}, "text", "$1", "{label}", "(.*)")'
