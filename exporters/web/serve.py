"""Puts the server together as the web settings and their file say."""

import secrets
from wsgiref.types import WSGIApplication

from structlog.typing import FilteringBoundLogger

from exporters.errors import WebConfigError
from exporters.server import HttpServer
from exporters.settings import WebSettings
from exporters.web.gate import Gate
from exporters.web.live import LiveWeb
from exporters.web.passwords import PasswordChecks
from exporters.web.tls import ServerTls

_KEY_BYTES = 32


def http_server(app: WSGIApplication, settings: WebSettings, log: FilteringBoundLogger) -> HttpServer:
    """Bind a server for `app`. Raises SettingsError, of which WebConfigError is one."""
    if settings.config_file is None:
        return HttpServer(app, host=settings.listen_address, port=settings.port, log=log)
    web = LiveWeb(settings.config_file, log=log)

    def tls() -> ServerTls:
        now = web.current().tls
        if now is None:  # LiveWeb lets TLS neither come nor go
            raise WebConfigError("no TLS is configured")
        return now

    gate = Gate(app, web.current, PasswordChecks(secrets.token_bytes(_KEY_BYTES)))
    address, port = settings.listen_address, settings.port
    return HttpServer(gate, host=address, port=port, log=log, tls=tls if web.serves_tls else None)
