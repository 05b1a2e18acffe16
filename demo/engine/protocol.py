"""The OpenAI requests that the engine reads, its tokenizer (one token a word), and the answers that it gives."""

import random
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence as Tokens
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from demo.engine.model import Sequence

VOCABULARY = 4096
_WORDS = ("the", "of", "a", "to", "and", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by", "on", "not")

TokenId = Annotated[int, Field(ge=0)]


class StreamOptions(BaseModel):
    """OpenAI's `stream_options`."""

    include_usage: bool = False


class _Request(BaseModel, ABC):
    """What both endpoints take; sampling parameters are accepted and have no effect."""

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    ignore_eos: bool = False
    n: Literal[1] = 1

    @abstractmethod
    def prompt_tokens(self) -> tuple[int, ...]:
        """The prompt as token ids."""

    @abstractmethod
    def limit(self, room: int) -> int:
        """Output tokens allowed when `room` are left in the context."""


class CompletionRequest(_Request):
    """`POST /v1/completions`: one prompt, text or token ids."""

    prompt: str | list[TokenId]
    max_tokens: int = Field(default=16, ge=1)

    def prompt_tokens(self) -> tuple[int, ...]:
        """The prompt as token ids."""
        return tokenize(self.prompt) if isinstance(self.prompt, str) else tuple(self.prompt)

    def limit(self, room: int) -> int:  # noqa: ARG002 - the completion endpoint does not shrink to fit
        """`max_tokens` as given."""
        return self.max_tokens


class ChatPart(BaseModel):
    """One part of a message's content; only text is understood."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One message."""

    role: str
    content: str | list[ChatPart]

    def text(self) -> str:
        """The content as one string."""
        return self.content if isinstance(self.content, str) else " ".join(part.text for part in self.content)


class ChatRequest(_Request):
    """`POST /v1/chat/completions`."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)

    def prompt_tokens(self) -> tuple[int, ...]:
        """All messages behind their roles, as a chat template would lay them out."""
        return tokenize(" ".join(f"<|{message.role}|> {message.text()}" for message in self.messages))

    def limit(self, room: int) -> int:
        """The given limit, else all that is left of the context."""
        return self.max_completion_tokens or self.max_tokens or max(1, room)


def tokenize(text: str) -> tuple[int, ...]:
    """One token a word behind a start token; equal text gives equal tokens in every process."""
    return (1, *(zlib.crc32(word.encode()) % VOCABULARY for word in text.split()))


def detokenize(token: int) -> str:
    """A word for a token, with the space before it."""
    return " " + _WORDS[token % len(_WORDS)]


def natural_length(prompt: Tokens[int], mean: float, seed: int) -> int:
    """Tokens after which the model would end its answer to this prompt: exponential, fixed for a prompt and seed."""
    return 1 + int(random.Random(hash((seed, *prompt))).expovariate(1.0 / mean))


def usage(sequence: Sequence) -> dict[str, Any]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": len(sequence.prompt),
        "completion_tokens": sequence.generated,
        "total_tokens": len(sequence.tokens),
        "prompt_tokens_details": {"cached_tokens": sequence.cached_tokens},
    }


def full_choice(*, chat: bool, sequence: Sequence) -> dict[str, Any]:
    """The one choice of an answer that is not streamed."""
    text = "".join(detokenize(token) for token in sequence.tokens[len(sequence.prompt) :])
    body: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    return {"index": 0, **body, "logprobs": None, "finish_reason": sequence.finish_reason}


def delta_choice(*, chat: bool, text: str, finish_reason: str | None) -> dict[str, Any]:
    """The one choice of a streamed chunk."""
    body: dict[str, Any] = {"delta": {"content": text}} if chat else {"text": text}
    return {"index": 0, **body, "logprobs": None, "finish_reason": finish_reason}


def kind(*, chat: bool, chunk: bool) -> str:
    """OpenAI's `object` of an answer."""
    if not chat:
        return "text_completion"
    return "chat.completion.chunk" if chunk else "chat.completion"
