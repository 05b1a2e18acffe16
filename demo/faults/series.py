"""What Prometheus stores of scrape targets: pages of samples, one a scrape, and promtool's notation of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
Key: TypeAlias = tuple[str, Labels]
Page: TypeAlias = Mapping[Key, float]
Pages: TypeAlias = tuple[Page | None, ...]

_GAP = "_"
_STALE = "stale"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a page is scraped: the labels that Prometheus adds. Empty ones are absent.

    `honest`: the page names `service` and `instance` itself (`honor_labels`), as the recommender's does.
    """

    job: str
    instance: str
    service: str = ""
    node: str = ""
    honest: bool = False

    def labels(self) -> dict[str, str]:
        """Target labels."""
        found = {"job": self.job, "instance": self.instance, "service": self.service, "node": self.node}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Recording:
    """The pages that scrapes of one target gave, at equal intervals; None where a scrape failed.

    `begins`: scrapes of others that went before the first of this one; nobody knew of the target then.
    """

    target: Target
    pages: Pages
    begins: int = 0

    def with_pages(self, pages: Sequence[Page | None]) -> "Recording":
        """The same target with other pages."""
        return replace(self, pages=tuple(pages))

    def later(self, scrapes: int) -> "Recording":
        """The same pages, so many scrapes later."""
        return replace(self, begins=self.begins + scrapes)

    def input_series(self) -> Iterator[dict[str, str]]:
        """Series in promtool's notation, `up` among them.

        As Prometheus does, a series that the last page had and this one lacks gets a staleness marker, and a failed
        scrape gives one to all of them.
        """
        keys = dict.fromkeys(key for page in self.pages if page is not None for key in page)
        target = self.target.labels()
        before = f"_x{self.begins} " if self.begins else ""
        yield {
            "series": "up" + braces(target),
            "values": before + " ".join("0" if page is None else "1" for page in self.pages),
        }
        for name, labels in keys:
            merged = target | dict(labels) if self.target.honest else dict(labels) | target
            values = " ".join(_values(self.pages, (name, labels)))
            yield {"series": name + braces(merged), "values": before + values}


def _values(pages: Pages, key: Key) -> Iterator[str]:
    there = False
    for page in pages:
        value = None if page is None else page.get(key)
        if value is None:
            yield _STALE if there else _GAP
        else:
            yield f"{value:.12g}"
        there = value is not None


def braces(labels: Mapping[str, str]) -> str:
    """Labels as PromQL writes them."""
    return "{" + ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(labels.items())) + "}"
