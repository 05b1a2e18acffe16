"""The rule files as a site runs them: the shipped ones, its own thresholds in place of ours."""

from collections.abc import Mapping
from pathlib import Path

import click
import yaml

from rules.pack import RULES_DIR, rule_paths

THRESHOLDS_FILE = "thresholds.yml"

thresholds_option = click.option(
    "--thresholds",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="OPTIINFRA_RULES_THRESHOLDS",
    help="Your own copy of thresholds.yml, exported in place of the shipped one.",
)


def site_files(thresholds: Path | None = None) -> dict[str, str]:
    """Every rule file by its path under rules/, as text. Raises click.BadParameter for thresholds that do not fit."""
    files = {path.relative_to(RULES_DIR).as_posix(): path.read_text(encoding="utf-8") for path in rule_paths()}
    if thresholds is not None:
        text = thresholds.read_text(encoding="utf-8")
        _check(thresholds, _records(text, thresholds), _records(files[THRESHOLDS_FILE], Path(THRESHOLDS_FILE)))
        files[THRESHOLDS_FILE] = text
    return files


def _check(path: Path, given: set[str], shipped: set[str]) -> None:
    """A threshold that is missing or mistyped makes its rules silent: better to say it here."""
    for names, what in ((shipped - given, "lacks"), (given - shipped, "records, and no rule reads,")):
        if names:
            raise click.BadParameter(f"{path} {what} {', '.join(sorted(names))}; begin with a copy of the shipped file")


def _records(text: str, path: Path) -> set[str]:
    try:
        content = yaml.safe_load(text)
        return {rule["record"] for group in content["groups"] for rule in group["rules"]}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise click.BadParameter(f"{path} is no file of recording rules: {error!r}") from None


def write(out: Path, files: Mapping[str, str]) -> None:
    """Write files below `out`, which is made where it is not there."""
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
