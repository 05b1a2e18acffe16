"""Reads a web configuration file."""

from pathlib import Path

from exporters.config_file import parse_config_file
from exporters.errors import ConfigFileError, WebConfigError
from exporters.web.config import FOLDER, WebConfig


def read_web_config(path: Path) -> WebConfig:
    """Read `path`; relative paths in it start from its folder. Raises WebConfigError with one line a finding."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise WebConfigError(f"--web-config-file: cannot read {path}: {why}") from error
    try:
        return parse_config_file(text, str(path), WebConfig, context={FOLDER: path.absolute().parent})
    except ConfigFileError as error:
        raise WebConfigError(str(error)) from error
