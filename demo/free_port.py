"""A port for a server of another process, which cannot be told to take port 0."""

import socket

from demo.ports import LOOPBACK

_SECONDS = 5.0


def free_port() -> int:
    """A loopback TCP port that the kernel gives to nobody else for a minute.

    A port that was only found free may be taken again before its server binds it: by a socket that asks for
    port 0 in between. A closed connection leaves the port in TIME_WAIT, in which the kernel picks it for no such
    socket, while a server that sets SO_REUSEADDR (Go's and Python's do) may still bind it by its number.
    """
    with socket.create_server((LOOPBACK, 0), backlog=1) as listener:
        listener.settimeout(_SECONDS)
        address: tuple[str, int] = listener.getsockname()
        with socket.create_connection(address, timeout=_SECONDS) as client:
            listener.accept()[0].close()  # whose end closes first keeps the port waiting
            client.recv(1)
    return address[1]


def free_address() -> str:
    """Such a port with its host: `host:port`."""
    return f"{LOOPBACK}:{free_port()}"
