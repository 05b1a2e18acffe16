"""The OpenAI completion API, as far as a probe needs it: what is asked, and what an event of the stream says."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from exporters.blackbox.config import Endpoint, Module

# How an endpoint, and whoever reads its logs, can tell probes from users.
PROBE_USER = "optiinfra-probe"
DONE = "[DONE]"


class CompletionError(ValueError):
    """An event or a page that is not what the API promises; the message quotes nothing of it."""


class EngineError(Exception):
    """The endpoint says, in its stream, that it failed."""


@dataclass(frozen=True, slots=True)
class Event:
    """What one event brought: whether any of the answer, whether text, the end, a count of generated tokens.

    Engines send a token that has no text (a part of a character, a special token) as a choice without text.
    """

    has_choice: bool
    has_text: bool
    finished: bool
    generated_tokens: int | None


class _Delta(BaseModel):
    content: str | None = None
    reasoning_content: str | None = None  # thinking models: these are tokens too, under either name
    reasoning: str | None = None


class _Choice(BaseModel):
    text: str | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None

    def has_text(self) -> bool:
        delta = self.delta or _Delta()
        return any((self.text, delta.content, delta.reasoning_content, delta.reasoning))


class _Usage(BaseModel):
    completion_tokens: Annotated[int, Field(ge=0)] | None = None


class _Chunk(BaseModel):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None
    object: str | None = None


class _Model(BaseModel):
    id: Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,256}$")]


class _ModelList(BaseModel):
    data: Annotated[list[_Model], Field(max_length=10_000)]


def request_body(module: Module, model: str, nonce: str) -> bytes:
    """The JSON to send. `nonce` stands before the prompt, so that no cached prefix covers what comes after it."""
    prompt = f"[{nonce}] {module.prompt}" if nonce else module.prompt
    asked: dict[str, Any] = {"model": model, "max_tokens": module.max_tokens, "temperature": 0, "stream": True}
    if module.include_usage:
        asked["stream_options"] = {"include_usage": True}
    if module.endpoint is Endpoint.CHAT:
        asked["messages"] = [{"role": "user", "content": prompt}]
    else:
        asked["prompt"] = prompt
    asked["user"] = PROBE_USER
    return json.dumps(asked).encode()


def read_event(data: str) -> Event:
    """Read one event's data. Raises CompletionError, and EngineError where the event tells of an error."""
    try:
        chunk = _Chunk.model_validate_json(data)
    except ValidationError:
        raise CompletionError("an event is not a completion chunk") from None
    if chunk.error is not None or chunk.object == "error":
        raise EngineError("the stream tells of an error")
    return Event(
        has_choice=bool(chunk.choices),
        has_text=any(choice.has_text() for choice in chunk.choices),
        finished=any(choice.finish_reason for choice in chunk.choices),
        generated_tokens=chunk.usage.completion_tokens if chunk.usage else None,
    )


def first_model(body: bytes) -> str:
    """The first model of a `/v1/models` page. Raises CompletionError, which says what the page does instead."""
    try:
        models = _ModelList.model_validate_json(body).data
    except ValidationError:
        raise CompletionError("is not a list of models that could be named") from None
    if not models:
        raise CompletionError("lists no model")
    return models[0].id
