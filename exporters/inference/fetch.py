"""Fetches a page from an engine: one deadline for all of it, a size cap, no redirects, a closed set of failures."""

import http.client
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from exporters.catalog import ProbeFailure
from exporters.inference.admission import Admission
from exporters.inference.connection import CHUNK_BYTES, DeadlineSocket, FetchError, Remaining, Resolve, connect
from exporters.inference.targets import AllowList, Target

__all__ = ["FetchError", "Fetcher", "Page", "Remaining"]

# What is read ahead of the body counts too.
_HEAD_BYTES = 2**17 + CHUNK_BYTES
# On the wire a body has the framing of its chunks. Framing that outweighs what it frames is no page: chunks
# of one byte would cost a second of CPU a megabyte.
_FRAMING_BYTES = 2**17
# The largest pages known, of 64 data-parallel ranks, have a third of it.
_MAX_LINES = 100_000
_REDIRECTION = 3  # first digit of the status
_ACCEPT_EXPOSITION = "text/plain;version=0.0.4,text/plain;q=0.9"
# The first line that is not blank: a comment, or a name and its labels or value.
_EXPOSITION_START = re.compile(r"\s*(#|[a-zA-Z_:][a-zA-Z0-9_:]*[ \t]*(\{|[ \t][-+0-9.NI]))")


@dataclass(frozen=True, slots=True)
class Page:
    """A body and its media type, lower case and without parameters; empty where the server names none."""

    body: bytearray
    media_type: str


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches pages of targets. May be shared by threads.

    Connects to addresses that `allowed` has no objection to, whichever `resolve`, the system's resolver, gives.
    """

    allowed: AllowList
    resolve: Resolve = socket.getaddrinfo
    admission: Admission = field(default_factory=Admission)

    @contextmanager
    def exposition(self, target: Target, remaining: Remaining, max_bytes: int) -> Iterator[str]:
        """The exposition at `target`, to be read while the context lasts. A body that breaks off is refused whole.

        Raises FetchError on entering, and for a TimeoutError that leaves the context.
        """
        with self.page(target, remaining, max_bytes, accept=_ACCEPT_EXPOSITION) as page:
            text = _exposition(page)
            del page
            try:
                yield text
            except TimeoutError:
                raise FetchError(ProbeFailure.TIMEOUT, "the exposition could not be read before the deadline") from None

    @contextmanager
    def page(self, target: Target, remaining: Remaining, max_bytes: int, *, accept: str) -> Iterator[Page]:
        """GET `target` and read the body whole, to be read while the context lasts. Raises FetchError on entering."""
        with self.admission.page(remaining) as admitted:
            with _closed_failures():
                page = self._get(target, remaining, max_bytes, accept=accept, grow=admitted.grow)
                admitted.read()
            yield page

    def _get(
        self, target: Target, remaining: Remaining, max_bytes: int, *, accept: str, grow: Callable[[int], None]
    ) -> Page:
        with connect(target, self.allowed, remaining, self.resolve) as sock:
            wire = DeadlineSocket(sock, remaining, _HEAD_BYTES)
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.sock = wire
            headers = {"Accept": accept, "Accept-Encoding": "identity", "Connection": "close"}
            connection.request("GET", target.path, headers=headers)
            with connection.getresponse() as response:
                _check_status(response)
                wire.max_bytes = _HEAD_BYTES + 2 * max_bytes + _FRAMING_BYTES
                return Page(_read(response, wire, max_bytes, grow), _media_type(response))


@contextmanager
def _closed_failures() -> Iterator[None]:
    """What can go wrong between two machines, as FetchError."""
    try:
        yield
    except TimeoutError:
        raise FetchError(ProbeFailure.TIMEOUT, "no full answer before the deadline") from None
    except (http.client.RemoteDisconnected, http.client.IncompleteRead, OSError, UnicodeError) as error:
        raise FetchError(ProbeFailure.CONNECTION, str(error) or type(error).__name__) from None
    except (http.client.HTTPException, ValueError) as error:  # ValueError: a negative chunk size
        raise FetchError(ProbeFailure.CONTENT, f"not an HTTP answer: {type(error).__name__}") from None


def _exposition(page: Page) -> str:
    """The body as text that can be one exposition. Raises FetchError."""
    if page.media_type not in ("", "text/plain"):
        raise FetchError(ProbeFailure.CONTENT, f"content type {page.media_type}, expected text/plain")
    try:
        text = page.body.decode()
    except UnicodeDecodeError as error:
        raise FetchError(ProbeFailure.CONTENT, f"not UTF-8 text: {error.reason} at byte {error.start}") from None
    if not text or text.isspace():
        return ""
    if not _EXPOSITION_START.match(text) or "\0" in text:
        raise FetchError(ProbeFailure.CONTENT, "not a text exposition")
    if not text.endswith("\n"):
        raise FetchError(ProbeFailure.CONTENT, "the exposition breaks off: its last line has no end")
    if text.count("\n") > _MAX_LINES:
        raise FetchError(ProbeFailure.TOO_LARGE, f"more than {_MAX_LINES} lines")
    return text


def _check_status(response: http.client.HTTPResponse) -> None:
    if response.status // 100 == _REDIRECTION:
        raise FetchError(ProbeFailure.REDIRECT, f"HTTP {response.status}; redirects are not followed")
    if response.status != HTTPStatus.OK:
        missing = response.status == HTTPStatus.NOT_FOUND
        raise FetchError(ProbeFailure.HTTP_STATUS, f"HTTP {response.status}", missing=missing)
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise FetchError(ProbeFailure.CONTENT, f"content encoding {encoding}, which was not asked for")


def _read(
    response: http.client.HTTPResponse, wire: DeadlineSocket, max_bytes: int, grow: Callable[[int], None]
) -> bytearray:
    if (response.length or 0) > max_bytes:
        raise FetchError(ProbeFailure.TOO_LARGE, f"{response.length} bytes announced, more than {max_bytes}")
    body = bytearray()
    while chunk := response.read(min(CHUNK_BYTES, max_bytes + 1 - len(body))):
        grow(len(body) + len(chunk))
        body += chunk
        if len(body) > max_bytes:
            raise FetchError(ProbeFailure.TOO_LARGE, f"more than {max_bytes} bytes")
        if wire.received - len(body) > len(body) + _HEAD_BYTES + _FRAMING_BYTES:
            raise FetchError(ProbeFailure.CONTENT, "the page comes in chunks of almost nothing")
    if response.length:  # what Content-Length promised and did not come
        raise http.client.IncompleteRead(b"", response.length)
    return body


def _media_type(response: http.client.HTTPResponse) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
