"""`optiinfra build rules`."""

from pathlib import Path

import click

from rules.build import SOURCES_DIR, source_files
from rules.service_thresholds import SERVICE_THRESHOLDS_FILE, service_thresholds_rules
from rules.slo import SLO_FILE, slo_rules


@click.command("rules")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="OPTIINFRA_RULES_OUT",
    help="Folder to write to; by default each file goes to its place in the package's rules.",
)
@click.option("--check", is_flag=True, envvar="OPTIINFRA_RULES_CHECK", help="Write nothing; fail when a file differs.")
def build(out: Path | None, *, check: bool) -> None:
    """Generate the source rules from the exporter's catalogue, the rules of objectives and each service's figures."""
    files = {(out or SOURCES_DIR) / name: text for name, text in source_files().items()}
    files[(out or SLO_FILE.parent) / SLO_FILE.name] = slo_rules()
    files[(out or SLO_FILE.parent) / SERVICE_THRESHOLDS_FILE.name] = service_thresholds_rules()
    stale = [path.name for path, text in files.items() if not _same(path, text)]
    where = out or SLO_FILE.parent
    if check and stale:
        raise click.ClickException(f"{where}: {', '.join(stale)} differ from the catalogue; run: optiinfra build rules")
    if not check:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    click.echo(f"{where}: {'up to date' if not stale else 'wrote ' + ', '.join(stale)}")


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text
