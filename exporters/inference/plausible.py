"""Leaves out what no engine can mean, so that it never becomes a signal: unknown is absent, not a number.

None of the canonical families can be negative, infinite or NaN: they count, time and size things. Such a value says
that the engine, or what stands before it, does not know (some write -1 or NaN for that), or that the page is damaged or
made up. A histogram stands or falls as a whole: its quantiles are wrong if one bucket is. Its buckets must have
different bounds, the last of them infinite, and must not fall. Its `_count` may differ from the last bucket: engines
update the two one after the other while they serve.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from exporters.catalog import Family, Kind
from exporters.exposition import Labels
from exporters.inference.render import Sample, Samples

_BUCKET = "_bucket"


def plausible(families: Iterable[tuple[Family, Samples]]) -> tuple[list[tuple[Family, Samples]], int]:
    """The families less what cannot be, those that are left; and how many samples were left out."""
    kept: list[tuple[Family, Samples]] = []
    left_out = 0
    for family, samples in families:
        good = _histograms(samples) if family.kind is Kind.HISTOGRAM else [s for s in samples if _possible(s)]
        left_out += len(samples) - len(good)
        if good:
            kept.append((family, good))
    return kept, left_out


def _possible(sample: Sample) -> bool:
    return 0 <= sample.value < math.inf


def _histograms(samples: Samples) -> Samples:
    """The samples of the histograms that are whole, in the order that they had."""
    histograms: dict[Labels, list[Sample]] = {}
    for sample in samples:
        labels = sample.labels[:-1] if sample.suffix == _BUCKET else sample.labels
        histograms.setdefault(labels, []).append(sample)
    broken = {labels for labels, histogram in histograms.items() if not _whole(histogram)}
    if not broken:
        return samples
    return [sample for labels, histogram in histograms.items() if labels not in broken for sample in histogram]


def _whole(histogram: Sequence[Sample]) -> bool:
    if not all(map(_possible, histogram)):
        return False
    try:
        buckets = sorted((float(labels[-1][1]), value) for suffix, labels, value in histogram if suffix == _BUCKET)
    except ValueError:  # a bound that is no number
        return False
    if not buckets:
        return True  # of a summary, its sum and count
    bounds, counts = zip(*buckets, strict=True)
    return bounds[-1] == math.inf and _rising(bounds, strictly=True) and _rising(counts, strictly=False)


def _rising(numbers: Sequence[float], *, strictly: bool) -> bool:
    return all(left < right if strictly else left <= right for left, right in pairwise(numbers))
