"""Which collectors of this machine run."""

import click

from exporters.catalog import Collector
from exporters.options.group import Group, option, several
from exporters.settings import NodeSettings, chosen_collectors


def _settings(
    *, collectors: tuple[str, ...], no_collectors: tuple[str, ...], collector_timeout_seconds: float
) -> NodeSettings:
    return NodeSettings(
        collectors=chosen_collectors(collectors, no_collectors), collector_timeout_seconds=collector_timeout_seconds
    )


GROUP = Group(
    _settings,
    (
        several(
            "--collectors",
            env="OPTIINFRA_EXPORTER_COLLECTORS",
            metavar="NAME,…",
            text=f"Collectors to run, all when not given: {', '.join(Collector)}.",
        ),
        several(
            "--no-collectors",
            env="OPTIINFRA_EXPORTER_NO_COLLECTORS",
            metavar="NAME,…",
            text="Collectors to leave out.",
        ),
        option(
            "--collector-timeout-seconds",
            type=click.FloatRange(min=0, min_open=True),
            default=5.0,
            env="OPTIINFRA_EXPORTER_COLLECTOR_TIMEOUT_SECONDS",
            text="How long a scrape waits for a driver or a disk.",
        ),
    ),
)
