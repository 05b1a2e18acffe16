"""Takes single facts out of a JSON page that somebody else wrote: by dotted path, unknown where not as expected.

A path is keys and list indexes with dots between them (`internal_states.0.version`); the empty path is the page itself,
and `*` stands for every item of a list.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from exporters.catalog import TextPointer

MAX_TEXT_LENGTH = 256

_EVERY = "*"
# RFC 3339; `datetime` alone would take dates, weeks and times without a zone as well, and knows no nanoseconds.
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


def parse(body: bytes | bytearray) -> object:
    """The page. Raises ValueError, also where it is nested deeper than any honest one."""
    try:
        page: object = json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return page


def find(page: object, path: str) -> Iterator[object]:
    """What is at `path`: nothing, one thing, or with `*` several."""
    if not path:
        yield page
        return
    key, _, rest = path.partition(".")
    if isinstance(page, dict):
        if key in page:
            yield from find(page[key], rest)
    elif isinstance(page, list):
        if key == _EVERY:
            for item in page:
                yield from find(item, rest)
        elif key.isascii() and key.isdigit() and int(key) < len(page):
            yield from find(page[int(key)], rest)


def number(page: object, path: str) -> float | None:
    """The finite number at `path`; None for anything else, truth values and numbers in quotes included."""
    value = next(find(page, path), None)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def texts(page: object, pointer: TextPointer) -> Iterator[str]:
    """The texts that `pointer` finds, renamed as it says; truth values are `true` and `false`.

    Texts that are empty, longer than MAX_TEXT_LENGTH or not printable are none.
    """
    for value in find(page, pointer.at):
        text = str(value).lower() if isinstance(value, bool) else value
        if isinstance(text, str) and 0 < len(text) <= MAX_TEXT_LENGTH and text.isprintable():
            yield pointer.values.get(text, text)


def labels(page: object, pointers: Mapping[str, TextPointer]) -> dict[str, str]:
    """The texts of an info family by label; what is not found is left out."""
    found = {name: next(texts(page, pointer), "") for name, pointer in pointers.items()}
    return {name: text for name, text in found.items() if text}


def epoch_seconds(page: object, path: str) -> float | None:
    """The RFC 3339 time at `path` as seconds since the epoch; None for anything else and for times before it."""
    value = next(find(page, path), None)
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    day, clock, fraction, sign, hours, minutes = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            moment = moment - offset if sign == "+" else moment + offset
    except (ValueError, OverflowError):
        return None
    seconds = moment.timestamp() + float(f"0.{fraction or 0}")
    return seconds if seconds >= 0 else None
