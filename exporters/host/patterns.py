"""Which processes are engines: names that a site gives to regular expressions over command lines."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from exporters.errors import SettingsError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class EnginePattern:
    """`name` is the value of the label `process`; the command line itself is never exposed."""

    name: str
    command: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> "EnginePattern":
        """Read `NAME=REGEX`. Raises `SettingsError`."""
        name, equals, expression = text.partition("=")
        if not equals or not _NAME.fullmatch(name) or not expression:
            raise SettingsError(
                f"{text!r}: give NAME=REGEX, the name of lower-case letters, digits and _, for example vllm=vllm serve"
            )
        try:
            return cls(name, re.compile(expression))
        except re.error as error:
            raise SettingsError(f"{name}: {expression!r} is no regular expression: {error}") from error


def shipped_patterns() -> tuple[EnginePattern, ...]:
    """Give the patterns that are used where a site gives none."""
    return tuple(EnginePattern(name, re.compile(expression)) for name, expression in _SHIPPED.items())


def name_of(command: str, patterns: Sequence[EnginePattern]) -> str | None:
    """Name of the first pattern that is found in a command line (arguments joined by a space), or None."""
    for pattern in patterns:
        if pattern.command.search(command):
            return pattern.name
    return None


# Names are those of the engine catalogue. Engines that rename their workers (setproctitle) are found by that title.
_SHIPPED = {
    "vllm": r"^VLLM::|(^|/)vllm serve( |$)|-m vllm\.entrypoints\.",
    "sglang": r"^sglang::|-m sglang\.launch_server( |$)|(^|/)sglang serve( |$)",
    "tgi": r"(^|/)text-generation-(launcher|router|server)( |$)",
    "triton": r"^(\S*/)?tritonserver( |$)",
    "tensorrt_llm": r"(^|/| )trtllm-(serve|llmapi-launch)( |$)",
    "llamacpp": r"^(\S*/)?llama-server( |$)",
    "ollama": r"^(\S*/)?ollama (serve|runner)( |$)",
}
