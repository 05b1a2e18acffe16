"""A reserved port is given to nobody who asks for any port, and to the server that names it."""

import socket
from contextlib import ExitStack

from demo.free_port import free_address, free_port


def test_a_reserved_port_is_not_given_to_who_asks_for_any() -> None:
    reserved = {free_port() for _ in range(50)}
    assert len(reserved) == 50
    with ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", port))) for port in reserved]
        assert {server.getsockname()[1] for server in servers} == reserved


def test_an_address_names_the_loopback_host() -> None:
    host, _, port = free_address().partition(":")
    assert host == "127.0.0.1"
    with socket.create_server((host, int(port))):
        pass
