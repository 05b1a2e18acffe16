"""Flags of one subject, and the settings that they make."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import click

Settings = TypeVar("Settings")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Group(Generic[Settings]):
    """The options of one subject.

    `make` takes their values by keyword, each under the option's name with underscores, and gives the subject's
    settings; it raises `SettingsError` for values that contradict each other or cannot be used.
    """

    make: Callable[..., Settings]
    options: tuple[Decorator, ...]

    def settings(self, values: Mapping[str, Any]) -> Settings:
        """Make the settings from the command's values, of which other groups' are left alone."""
        return self.make(**{name: values[name] for name in inspect.signature(self.make).parameters})

    def __call__(self, command: Callable[..., Any]) -> Callable[..., Any]:
        """Give a command these options, in their order."""
        for decorate in reversed(self.options):
            command = decorate(command)
        return command


def option(flag: str, *, env: str | Sequence[str], text: str, **click_option: Any) -> Decorator:  # noqa: ANN401 - click's
    """Make an option with its environment twin, which its help names."""
    return click.option(flag, envvar=env, show_envvar=True, help=text, **click_option)


def several(flag: str, *, env: str, text: str, metavar: str) -> Decorator:
    """Make an option that may be repeated, or hold several values between commas, as its environment twin does."""
    return option(flag, env=env, text=text, metavar=metavar, multiple=True, callback=_split)


def _split(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())
