"""The rule files as a site runs them: the shipped ones, its own thresholds in place of ours."""

from collections.abc import Mapping
from pathlib import Path

import click
import yaml

from rules import plain_yaml
from rules.pack import RULES_DIR, rule_paths
from rules.threshold_file import THRESHOLDS_FILE, Figure, problems

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
        # A threshold that is missing or mistyped makes its rules silent: better to say it here.
        if found := list(problems(_figures(text, thresholds))):
            raise click.BadParameter("\n".join(f"{thresholds} {problem}" for problem in found))
        files[THRESHOLDS_FILE] = text
    return files


def _figures(text: str, path: Path) -> list[Figure]:
    try:
        content = plain_yaml.parse(text)
        return [
            Figure(rule["record"], {label: str(value) for label, value in (rule.get("labels") or {}).items()})
            for group in content["groups"]
            for rule in group["rules"]
        ]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise click.BadParameter(f"{path} is no file of recording rules: {error!r}") from None


def write(out: Path, files: Mapping[str, str]) -> None:
    """Write files below `out`, which is made where it is not there."""
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
