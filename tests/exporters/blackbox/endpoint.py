"""A real HTTP server that speaks the OpenAI completion API the way a test wants it."""

import json
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Reply = Callable[[BaseHTTPRequestHandler], None]
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


@dataclass(frozen=True)
class Asked:
    """One request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Endpoint:
    """Replies by path; an unknown path is 404. `release` ends replies that hang."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.replies: dict[str, Reply] = {}
        self.asked: list[Asked] = []
        self.released = threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_GET(self) -> None:
                endpoint._answer(self)

            def do_POST(self) -> None:
                endpoint._answer(self)

            def do_DELETE(self) -> None:
                endpoint._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a client that leaves in the middle is what many tests are about

        self.server = Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port: int = self.server.server_address[1]
        self.netloc = f"127.0.0.1:{self.port}"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.asked.append(
            Asked(handler.command, handler.path, dict(handler.headers), json.loads(body) if body else None)
        )
        reply = self.replies.get(handler.path)
        if reply is None:
            handler.send_error(404)
        else:
            reply(handler)

    def posts(self) -> list[Asked]:
        """What was asked to be completed."""
        return [asked for asked in self.asked if asked.method == "POST"]


@contextmanager
def serving(endpoint: Endpoint) -> Iterator[Endpoint]:
    thread = threading.Thread(target=endpoint.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.released.set()
        endpoint.server.shutdown()
        endpoint.server.server_close()
        thread.join()


def page(body: bytes, content_type: str = "application/json", status: int = 200, **headers: str) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def models(*names: str) -> Reply:
    return page(json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]}).encode())


def stream(pieces: Iterable[bytes], *, chunked: bool = True, content_type: str = "text/event-stream") -> Reply:
    """Send each piece at once, as a chunk of its own or as it is."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", f"{content_type}; charset=utf-8")
        handler.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Connection", "close")))
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            handler.wfile.flush()
        if chunked:
            handler.wfile.write(b"0\r\n\r\n")

    return reply


def event(data: dict[str, Any] | str) -> bytes:
    return b"data: " + (data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)).encode() + b"\n\n"


def chat(text: str | None, finish: str | None = None, **delta: str) -> bytes:
    content = {} if text is None else {"content": text}
    return event({"choices": [{"index": 0, "delta": content | delta, "finish_reason": finish}]})


def completion(text: str, finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "text": text, "finish_reason": finish}]})


def usage(tokens: int) -> bytes:
    return event(
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}}
    )


DONE = event("[DONE]")
ROLE = chat("", role="assistant")
GOOD = [ROLE, chat("re"), chat("ad"), chat("y"), chat("", "stop"), usage(4), DONE]
