"""Ports: how they move, and what is said when one is taken."""

import os
import socket

import pytest

from demo.errors import DemoError
from demo.ports import Ports, refuse_taken


def test_an_offset_moves_all_ports_and_a_servers_own_variable_wins() -> None:
    ports = Ports.from_environment({"DEMO_PORT_OFFSET": "10000", "OPTIINFRA_PROMETHEUS_PORT": "9999"})

    assert (ports.recommender, ports.prometheus, ports.engine) == (18002, 9999, 18101)
    assert Ports.from_environment({}) == Ports()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"DEMO_PORT_OFFSET": "many"}, "DEMO_PORT_OFFSET=many is not a number"),
        ({"DEMO_PORT_OFFSET": "60000"}, "is not between 1 and 65535; set OPTIINFRA_"),
    ],
)
def test_a_port_that_is_no_port_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(DemoError, match=message):
        Ports.from_environment(environment)


def test_a_taken_port_is_named_with_its_holder_and_the_variable_that_moves_it() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(DemoError) as caught:
            refuse_taken([("prometheus", port)])

    text = str(caught.value)
    assert f"{port} (prometheus) is held by" in text
    assert f"(process {os.getpid()})" in text
    assert "OPTIINFRA_PROMETHEUS_PORT=" in text
    assert "DEMO_PORT_OFFSET=10000 make demo" in text
    refuse_taken([("prometheus", port)])
