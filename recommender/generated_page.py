"""A page of docs that a command writes, or only compares: `optiinfra build <name> [--check]`."""

from collections.abc import Callable
from pathlib import Path

import click


def page_command(name: str, page: Path, text: Callable[[], str], *, source: str) -> click.Command:
    """The command that writes `text()` to `page`; with --check it fails where the page differs from its `source`."""
    prefix = f"OPTIINFRA_{name.upper()}"

    @click.command(name, help=f"Write the page of {name} from {source}.")
    @click.option(
        "--out",
        type=click.Path(dir_okay=False, path_type=Path),
        default=page,
        envvar=f"{prefix}_OUT",
        help=f"File to write; docs/{page.name} by default.",
    )
    @click.option("--check", is_flag=True, envvar=f"{prefix}_CHECK", help="Write nothing; fail when the page differs.")
    def build(out: Path, *, check: bool) -> None:
        made = text()
        same = out.is_file() and out.read_text(encoding="utf-8") == made
        if check and not same:
            raise click.ClickException(f"{out} differs from {source}; run: optiinfra build {name}")
        if not same:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(made, encoding="utf-8")
        click.echo(f"{out}: {'up to date' if same else 'written'}")

    return build
