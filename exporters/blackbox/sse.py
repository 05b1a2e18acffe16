"""Server-sent events, read piece by piece as they come off the wire.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, of which `data` is what
completion endpoints use; other fields and comments are read over.
"""

import re

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class StreamError(ValueError):
    """The bytes are not an event stream that we read; the message says why and quotes none of them."""


class EventTooLarge(StreamError):
    """An event is larger than any that we hold back."""


class EventStream:
    """Turns pieces of a byte stream, cut anywhere, into the data of its events.

    Holds back at most `max_event_bytes` of an event that is not complete.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self._max = max_event_bytes
        self._rest = b""
        self._scanned = 0
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._first_line = True

    def feed(self, piece: bytes) -> list[str]:
        """The events that `piece` completes. Raises EventTooLarge, and StreamError for one that is not UTF-8."""
        if not piece:
            return []
        if self._after_cr and piece.startswith(b"\n"):  # the second half of a line end that a cut divided
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        text, start, events = self._rest + piece, 0, []
        for end in _LINE_END.finditer(text, self._scanned):
            event = self._line(text[start : end.start()])
            start = end.end()
            if event is not None:
                events.append(event)
        self._rest = text[start:]
        self._scanned = len(self._rest)
        if self._size + len(self._rest) > self._max:
            raise EventTooLarge(f"an event of more than {self._max} bytes")
        return events

    def _line(self, line: bytes) -> str | None:
        """Take one line; gives the event that it ends, if it ends one that has data."""
        if self._first_line:
            self._first_line, line = False, line.removeprefix(_BOM)
        if not line:
            data, self._data, self._size = self._data, [], 0
            return _text(b"\n".join(data)) if data else None
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(line)
            if self._size > self._max:
                raise EventTooLarge(f"an event of more than {self._max} bytes")
        return None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise StreamError(f"an event is not UTF-8: {error.reason} at byte {error.start}") from None
