"""The allow-list holds on the address that is connected to, however a name came to it."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from exporters.catalog import ProbeFailure
from exporters.inference import AllowList, Prober
from exporters.inference.addresses import covered_by_never, is_loopback, never_fetched, parse_address
from exporters.inference.targets import TargetError

PAGE = b'vllm:num_requests_running{model_name="m"} 3\n'


class Names:
    """A resolver with a zone of its own. `asked` has what was looked up, in order."""

    def __init__(self, **zone: list[str]) -> None:
        self.zone = zone
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, /, *, type: int, flags: int) -> Any:  # noqa: A002 - as getaddrinfo has it
        if flags & socket.AI_NUMERICHOST:
            return socket.getaddrinfo(host, port, type=type, flags=flags)
        self.asked.append(host)
        found = self.zone[host]
        if len(found) > 1 and self.asked.count(host) > 1:
            found = found[1:]  # rebinding: another answer the second time
        return [
            entry
            for address in found[:1]
            for entry in socket.getaddrinfo(address, port, type=type, flags=socket.AI_NUMERICHOST)
        ]


class Engine:
    """A real server on loopback that remembers who asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.redirect: tuple[int, str] | None = None
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine.asked.append((self.path, self.headers["Host"]))
                if engine.redirect:
                    self.send_response(engine.redirect[0])
                    self.send_header("Location", engine.redirect[1])
                else:
                    self.send_response(200)
                self.send_header("Content-Length", str(len(PAGE)))
                self.end_headers()
                self.wfile.write(PAGE)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    thread = threading.Thread(target=engine.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield engine
    engine.server.shutdown()
    engine.server.server_close()
    thread.join()


def probe(target: str, allowed: list[str], names: Names) -> str:
    """`up`, the reason of a failure, or the status of a refusal."""
    prober = Prober(AllowList.parse(allowed), resolve=names, timeout_seconds=2)
    result = prober.probe(target, "vllm")
    if result.status != 200:
        return str(result.status)
    text = result.body.decode()
    if 'llm_up{engine="vllm"} 1.0' in text:
        return "up"
    (reason,) = [line.split('"')[1] for line in text.splitlines() if line.startswith("llm_scrape_failure_info{")]
    return reason


# -- what is never fetched


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("169.254.169.254", "link-local"),
        ("169.254.0.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("febf::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("fd00:ec2::254", "a cloud's metadata service"),
        ("100.100.100.200", "a cloud's metadata service"),
        ("::ffff:169.254.169.254", "link-local"),
        ("::ffff:0:169.254.169.254", "link-local"),
        ("::169.254.169.254", "link-local"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("64:ff9b:1::169.254.169.254", "link-local"),
        ("64:ff9b:1:a9fe:a9:fe00::", "link-local"),
        ("64:ff9b:1:a9:fe:a9fe::", "link-local"),
        ("64:ff9b:1:0:a9:fea9:fe00:0", "link-local"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("2001:0:a9fe:a9fe::1", "link-local"),  # Teredo: the server
        ("2001:0:102:304::5601:5601", "link-local"),  # and the client, its bits inverted
        ("2001:db8::5efe:169.254.169.254", "link-local"),  # ISATAP
        ("::ffff:0.0.0.0", "unspecified"),
        ("2002:e000:1::1", "multicast"),
    ],
)
def test_metadata_link_local_multicast_and_unspecified_addresses_are_never_fetched(address: str, kind: str) -> None:
    assert never_fetched(ip_address(address)) == kind


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.7",
        "192.168.1.1",
        "100.64.0.1",
        "169.253.255.255",
        "8.8.8.8",
        "::1",
        "fd00::7",
        "2001:db8::7",
        "64:ff9b::10.0.0.7",
        "2002:a00:7::1",
        "::ffff:10.0.0.7",
    ],
)
def test_an_address_that_an_engine_may_have_is_none_of_them(address: str) -> None:
    assert never_fetched(ip_address(address)) is None


def test_loopback_is_seen_inside_other_addresses() -> None:
    for address in ("127.0.0.1", "127.9.9.9", "::1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "::127.0.0.1"):
        assert is_loopback(ip_address(address)), address
    assert not is_loopback(ip_address("10.0.0.7"))


def test_a_mapped_address_is_the_ipv4_address_and_one_with_a_scope_is_none() -> None:
    assert parse_address("::ffff:10.0.0.7") == ip_address("10.0.0.7")
    assert parse_address("fe80::1%eth0") is None
    assert parse_address("gpu-1") is None


@pytest.mark.parametrize(
    "entry", ["169.254.0.0/16", "169.254.169.254:80", "169.254.4.0/24:*", "[fe80::1]:80", "ff00::/8"]
)
def test_an_entry_that_could_never_allow_anything_is_refused_at_start(entry: str) -> None:
    with pytest.raises(TargetError, match="no engine is read there"):
        AllowList.parse([entry])


def test_a_network_that_is_never_fetched_only_in_part_may_be_listed() -> None:
    assert covered_by_never(ip_network("0.0.0.0/0")) is None
    assert AllowList.parse(["0.0.0.0/0", "::/0"]).entries


# -- before anything is sent or looked up


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254",
        "http://[fe80::1]:80",
        "http://[::ffff:169.254.169.254]",
        "http://[64:ff9b::169.254.169.254]",
        "http://[fd00:ec2::254]",
        "http://0.0.0.0:8000",
        "http://[::]:8000",
    ],
)
def test_an_address_that_is_never_fetched_is_403_whatever_is_allowed(target: str) -> None:
    names = Names()
    assert probe(target, ["0.0.0.0/0", "::/0"], names) == "403"
    assert names.asked == []


def test_a_name_that_nothing_can_allow_is_403_and_never_looked_up() -> None:
    names = Names(other=["127.0.0.1"])
    assert probe("http://other:8000", ["gpu-1:8000", "10.0.0.0/8:8001"], names) == "403"
    assert names.asked == []


# -- on the address that a name resolves to


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1%lo", "0.0.0.0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"]
)
def test_a_listed_name_that_resolves_to_an_address_that_is_never_fetched_fails(address: str) -> None:
    names = Names(metadata=[address])
    assert probe("http://metadata:80", ["metadata:80", "0.0.0.0/0", "::/0"], names) == ProbeFailure.REFUSED_ADDRESS
    assert names.asked == ["metadata"]


def test_a_network_allows_the_names_that_resolve_into_it(engine: Engine) -> None:
    names = Names(gpu=["127.0.0.1"])
    assert probe(f"gpu:{engine.port}", ["127.0.0.0/8"], names) == "up"
    assert engine.asked[0] == ("/metrics", f"gpu:{engine.port}")


def test_a_name_that_resolves_outside_the_networks_fails(engine: Engine) -> None:
    names = Names(gpu=["127.0.0.1"])
    assert probe(f"gpu:{engine.port}", ["10.0.0.0/8"], names) == ProbeFailure.REFUSED_ADDRESS
    assert engine.asked == []


def test_a_listed_name_that_turns_to_loopback_is_refused(engine: Engine) -> None:
    names = Names(gpu=["127.0.0.1"])
    assert probe(f"gpu:{engine.port}", [f"gpu:{engine.port}"], names) == ProbeFailure.REFUSED_ADDRESS
    assert engine.asked == []


@pytest.mark.parametrize("entry", ["127.0.0.1:*", "127.0.0.0/8"])
def test_a_listed_name_may_lead_to_loopback_where_loopback_is_listed(engine: Engine, entry: str) -> None:
    assert probe(f"gpu:{engine.port}", ["gpu:*", entry], Names(gpu=["127.0.0.1"])) == "up"


def test_localhost_may_be_loopback(engine: Engine) -> None:
    assert probe(f"localhost:{engine.port}", ["localhost:*"], Names(localhost=["127.0.0.1"])) == "up"


def test_localhost_of_the_real_resolver_is_read(engine: Engine) -> None:
    prober = Prober(AllowList.parse([f"localhost:{engine.port}"]))
    assert b'llm_up{engine="vllm"} 1.0' in prober.probe(f"localhost:{engine.port}", "vllm").body


def test_a_name_is_looked_up_once_for_each_connection_and_every_answer_is_judged(engine: Engine) -> None:
    names = Names(gpu=["127.0.0.1", "169.254.169.254"])  # good for the page, then rebound for the next connection
    assert probe(f"gpu:{engine.port}", ["127.0.0.0/8"], names) == "up"
    assert names.asked == ["gpu", "gpu", "gpu"]  # the exposition and two pages of facts, each once
    assert [path for path, _ in engine.asked] == ["/metrics"]  # no fact was asked for at another address


def test_addresses_that_are_refused_are_passed_over_for_one_that_is_not(engine: Engine) -> None:
    def both(_: str, port: int, /, *, type: int, flags: int) -> Any:  # noqa: A002 - as getaddrinfo has it
        flags |= socket.AI_NUMERICHOST
        answers = [
            socket.getaddrinfo(address, port, type=type, flags=flags) for address in ("169.254.1.1", "127.0.0.1")
        ]
        return [entry for answer in answers for entry in answer]

    prober = Prober(AllowList.parse(["127.0.0.0/8"]), resolve=both)
    assert b'llm_up{engine="vllm"} 1.0' in prober.probe(f"gpu:{engine.port}", "vllm").body


# -- redirects


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 399])
@pytest.mark.parametrize("location", ["http://169.254.169.254/latest/meta-data", "/other", "http://localhost:1/"])
def test_no_redirect_is_followed(engine: Engine, status: int, location: str) -> None:
    engine.redirect = status, location
    names = Names()
    assert probe(f"127.0.0.1:{engine.port}", ["127.0.0.0/8"], names) == ProbeFailure.REDIRECT
    assert [path for path, _ in engine.asked] == ["/metrics"]
    assert names.asked == []
