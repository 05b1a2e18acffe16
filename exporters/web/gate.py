"""What stands before every route: the configured headers, and name and password."""

import base64
import binascii
import itertools
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, TypeAlias
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from exporters.errors import TooManyChecks, WebConfigError
from exporters.web.live import Web
from exporters.web.passwords import PasswordChecks

_CHALLENGE = ("WWW-Authenticate", 'Basic realm="optiinfra exporter", charset="UTF-8"')

_Headers: TypeAlias = list[tuple[str, str]]
_ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Gate:
    """An application behind the web configuration; every path is, health too."""

    def __init__(self, app: WSGIApplication, current: Callable[[], Web], checks: PasswordChecks) -> None:
        """`current` gives the configuration of the moment, or raises WebConfigError."""
        self._app = app
        self._current = current
        self._checks = checks

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on, or refuse it."""
        try:
            config = self._current().config
        except WebConfigError:
            text = "the web configuration cannot be used; the exporter's log says why"
            return _refuse(HTTPStatus.INTERNAL_SERVER_ERROR, text, environ, start_response)
        start = _with_headers(config.http_server_config.headers, start_response)
        users = config.basic_auth_users
        try:
            welcome = not users or self._knows(users, environ.get("HTTP_AUTHORIZATION", ""))
        except TooManyChecks as error:
            return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}; try again", environ, start, ("Retry-After", "1"))
        if not welcome:
            return _refuse(HTTPStatus.UNAUTHORIZED, "name and password are needed", environ, start, _CHALLENGE)
        return self._app(environ, start)

    def _knows(self, users: Mapping[str, str], authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
            return bool(colon) and self._checks.right(users, name.decode(), password)
        except (binascii.Error, ValueError):  # not base64, or a name that is not UTF-8
            return False


def _with_headers(headers: Mapping[str, str], start_response: StartResponse) -> StartResponse:
    """Set the configured headers on an answer; an empty value takes the application's own away."""
    if not headers:
        return start_response
    ours = {name.lower() for name in headers}

    def start(status: str, answer: _Headers, exc_info: _ExcInfo | None = None, /) -> Any:  # noqa: ANN401 - write()
        kept = ((name, value) for name, value in answer if name.lower() not in ours)
        return start_response(status, [*kept, *((name, value) for name, value in headers.items() if value)], exc_info)

    return start


def _refuse(
    status: HTTPStatus,
    text: str,
    environ: WSGIEnvironment,
    start_response: StartResponse,
    *headers: tuple[str, str],
) -> Iterable[bytes]:
    body = f"{text}\n".encode()
    common = (("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))))
    start_response(f"{status.value} {status.phrase}", list(itertools.chain(common, headers)))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
