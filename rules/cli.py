"""`optiinfra build rules`."""

from pathlib import Path

import click

from rules.build import SOURCES_DIR, source_files


@click.command("rules")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=SOURCES_DIR,
    envvar="OPTIINFRA_RULES_OUT",
    help="Folder to write to; the package's rules/sources by default.",
)
@click.option("--check", is_flag=True, envvar="OPTIINFRA_RULES_CHECK", help="Write nothing; fail when a file differs.")
def build(out: Path, *, check: bool) -> None:
    """Generate the source rules from the exporter's catalogue."""
    stale = [name for name, text in source_files().items() if not _same(out / name, text)]
    if check and stale:
        raise click.ClickException(f"{out}: {', '.join(stale)} differ from the catalogue; run: optiinfra build rules")
    if not check:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in source_files().items():
            (out / name).write_text(text, encoding="utf-8")
    click.echo(f"{out}: {'up to date' if not stale else 'wrote ' + ', '.join(stale)}")


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text
