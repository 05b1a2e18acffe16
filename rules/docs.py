"""`optiinfra build docs`: the pages that are generated from catalogues."""

from collections.abc import Callable
from pathlib import Path

import click

from exporters.engine_docs import engines_page
from rules.alert_docs import alerts_page
from rules.sharding import groups_page

DOCS_DIR = Path(__file__).parents[1] / "docs"
PAGES: dict[str, Callable[[], str]] = {
    "engines.md": engines_page,
    "alerts.md": alerts_page,
    "rule-groups.md": groups_page,
}


@click.command("docs")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=DOCS_DIR,
    envvar="OPTIINFRA_DOCS_OUT",
    help="Folder to write to; docs by default.",
)
@click.option("--check", is_flag=True, envvar="OPTIINFRA_DOCS_CHECK", help="Write nothing; fail when a page differs.")
def build(out: Path, *, check: bool) -> None:
    """Generate the pages of what engines tell, what alerts mean and how groups of rules may be spread."""
    texts = {name: page() for name, page in PAGES.items()}
    stale = [name for name, text in texts.items() if not _same(out / name, text)]
    if check and stale:
        raise click.ClickException(f"{out}: {', '.join(stale)} differ from the catalogue; run: optiinfra build docs")
    if not check:
        out.mkdir(parents=True, exist_ok=True)
        for name in stale:
            (out / name).write_text(texts[name], encoding="utf-8")
    click.echo(f"{out}: {'up to date' if not stale else 'wrote ' + ', '.join(stale)}")


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text
