"""`optiinfra export prometheus`: the rule files in a folder, for `rule_files` of a Prometheus that is there."""

from pathlib import Path

import click

from rules import plain_yaml
from rules.pack import CONFIGURATION
from rules.site import site_files, thresholds_option, write

_README = """\
Rules of OptiInfra, written by `optiinfra export prometheus`. For the configuration of Prometheus, 2.42 or newer:

rule_files:
{patterns}

Figures that a site tunes are in thresholds.yml alone; keep your copy elsewhere and name it with --thresholds when you
export again. The rules expect the jobs and labels of `rules/prometheus.yml`.
"""


def readme(out: Path) -> str:
    """What to write into Prometheus's configuration: the patterns of the shipped one, below `out`."""
    shipped = plain_yaml.read(CONFIGURATION)["rule_files"]
    return _README.format(patterns="\n".join(f"  - {out / pattern}" for pattern in shipped))


@click.command("prometheus")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    envvar="OPTIINFRA_EXPORT_OUT",
    help="Folder to write to.",
)
@thresholds_option
def prometheus(out: Path, thresholds: Path | None) -> None:
    """Write the rule files to a folder, and a README with the lines for Prometheus's configuration."""
    files = site_files(thresholds)
    write(out, {**files, "README": readme(out.resolve())})
    click.echo(f"{out}: wrote {len(files)} rule files; {out / 'README'} says how Prometheus reads them")
