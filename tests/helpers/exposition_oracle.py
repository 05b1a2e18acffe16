"""Where our exposition reader and the reference parser, `prometheus_client.parser`, must say the same.

Line by line, for lines of wanted names:

* What our reader gives, the reference gives: the same labels and value.
* What the reference gives, our reader gives too, or counts as skipped. Some of it is not in the format, and is skipped
  on purpose: words after the timestamp, timestamps that are no integers, exemplars, a comma before the first label,
  label names in quotes, labels longer than 4096 characters.
* Two kinds of line the reference reads as a series and our reader as none, uncounted, since they do not begin with its
  name: the name in quotes inside the braces (a later format), and blanks other than space and tab around the name.

A page is read as its lines are, the first of repeated series.
"""

import math
from collections.abc import Collection

from prometheus_client.parser import text_string_to_metric_families

from exporters.exposition import Labels, Reader, Reading

Sample = tuple[str, Labels, float]


def reference_line(line: str) -> Sample | None:
    """The sample of one line as the reference has it; None where it has none or refuses the line."""
    try:
        found = [sample for family in text_string_to_metric_families(line) for sample in family.samples]
    except (ValueError, IndexError, OverflowError):
        return None
    if not found:
        return None
    (sample,) = found
    return sample.name, tuple(sorted(sample.labels.items())), _as_float(sample.value)


def disagreement(reader: Reader, text: str, wanted: Collection[str]) -> str | None:
    """What the two say differently of `text` that they must not; None where there is nothing."""
    samples: dict[str, dict[Labels, float]] = {}
    skipped = 0
    for line in text.split("\n"):
        reading = reader.read(line)
        ours, theirs = _only(reading), reference_line(line)
        if theirs is not None and theirs[0] not in wanted:
            theirs = None
        if ours is not None and not same(ours, theirs):
            return f"{line!r}: read as {ours}, by the reference as {theirs}"
        if ours is None and theirs is not None and not reading.skipped and _begins_with(theirs[0], line):
            return f"{line!r}: passed over in silence, by the reference read as {theirs}"
        skipped += reading.skipped
        if ours is not None:
            skipped += ours[1] in samples.setdefault(ours[0], {})
            samples[ours[0]].setdefault(ours[1], ours[2])
    whole = reader.read(text)
    if (repr(whole.samples), whole.skipped) != (repr(samples), skipped):
        return f"{text!r}: read as {whole}, its lines as {samples} with {skipped} skipped"
    return None


def same(left: Sample | None, right: Sample | None) -> bool:
    """Whether two samples are equal, NaN being equal to itself."""
    if left is None or right is None:
        return left is right
    values_equal = left[2] == right[2] or (math.isnan(left[2]) and math.isnan(right[2]))
    return left[:2] == right[:2] and values_equal


def _only(reading: Reading) -> Sample | None:
    found = [(name, labels, value) for name, series in reading.samples.items() for labels, value in series.items()]
    assert len(found) + reading.skipped <= 1
    return found[0] if found else None


def _begins_with(name: str, line: str) -> bool:
    line = line.lstrip(" \t")
    return line.startswith(name) and line[len(name) :][:1] in ("", " ", "\t", "{")


def _as_float(value: float) -> float:
    """The reference gives integers where it can, of any size."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
