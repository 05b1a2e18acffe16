"""`optiinfra export`: configuration of other exporters, so that they give what the rules read."""

from collections.abc import Iterable

import click

from rules.catalog.dcgm import DCGM_SECTIONS, Section

_HEADER = """\
# Counters of dcgm-exporter that OptiInfra's rules read (rules/sources/dcgm.yml); use with `dcgm-exporter -f FILE`.
# dcgm-exporter's own list lacks throttling, power limits, highest clocks, SM activity, ECC and NVLink errors.
# DCGM FIELD, Prometheus metric type, help message
"""


def dcgm_csv(sections: Iterable[Section] = DCGM_SECTIONS) -> str:
    """Give the counters file, one field a line: name, type, help."""
    blocks = [_HEADER]
    for section in sections:
        lines = [f"{counter.field}, {counter.kind}, {counter.help}" for counter in section.counters]
        blocks.append("\n".join([f"# {section.title}", *lines]) + "\n")
    return "\n".join(blocks)


@click.command("dcgm")
def dcgm() -> None:
    """Print the counters file for dcgm-exporter."""
    click.echo(dcgm_csv(), nl=False)
