"""Which addresses a probe may read: targets are parsed, normalised and held against an allow-list.

The prober fetches what a caller names, so without this list anyone who reaches the exporter could read any HTTP
service that it reaches. Nothing is allowed by default, and redirects are not followed.

An entry is a name (`gpu-1:8000`), an address or a network. Names are judged twice:

1. `allows`, before anything is sent or looked up. A target that is an address must be listed as one. A target that is
   a name must be listed, or addresses must be listed for its port, in which case it is looked up to see. The others
   are refused with 403.
2. `objection`, on the very address that is about to be connected to; nothing is looked up a second time. An address or
   network entry allows it, whatever name led there. A name entry allows the addresses of that name, except loopback:
   whoever owns the name's DNS zone could let it point at this machine. `localhost` may; other names may where the
   loopback address is listed itself.

Link-local, multicast and unspecified addresses and those of clouds' metadata services are refused in any case, also
where an IPv6 address carries them (`exporters.inference.addresses`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from urllib.parse import urlsplit

from exporters.inference.addresses import (
    Address,
    Network,
    covered_by_never,
    is_loopback,
    never_fetched,
    parse_address,
)

DEFAULT_PATH = "/metrics"
_MAX_PORT = 65535
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
# What ends in a number is an address to the system's resolver: 2130706433, 0x7f.1 and 127.1 are 127.0.0.1.
_ODD_ADDRESS = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)")
_LOCALHOST = "localhost"
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_NETWORK_ENTRY = re.compile(r"(?P<network>[^\[\]]+/\d{1,3})(:(?P<port>\d{1,5}|\*))?")
_HOST_ENTRY = re.compile(r"(\[(?P<address>[^\[\]]+)\]|(?P<host>[^\[\]:]+)):(?P<port>\d{1,5}|\*)")


class TargetError(ValueError):
    """A target or an allow-list entry that cannot be used; the message says why and what is expected."""


@dataclass(frozen=True, slots=True)
class Target:
    """An engine's metrics endpoint, normalised: lower-case host, explicit port, a path."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def netloc(self) -> str:
        """`host:port`, with brackets round an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def sibling(self, path: str) -> "Target":
        """Another page of the same server: `path` in place of a trailing `/metrics`."""
        return Target(self.scheme, self.host, self.port, self.path.removesuffix(DEFAULT_PATH).rstrip("/") + path)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An engine's server as a caller names it.

    `root`: where the server's own paths begin; its path has no slash at its end and may be empty. `page`: the metrics
    page that was named, as a path below the root; None where a base was.
    """

    root: Target
    page: str | None

    def at(self, path: str) -> Target:
        """The server's page at `path`."""
        return replace(self.root, path=self.root.path + path)


def parse_endpoint(text: str, pages: Iterable[str]) -> Endpoint:
    """Parse `http(s)://host[:port][/path]` or `host:port`; a path that does not end in one of `pages` is a base.

    So a probe reads pages that are known beforehand, whatever else an allowed server answers to a GET. Raises
    TargetError for other schemes, credentials, query, fragment, and characters that do not belong in a URL.
    """
    named = _parse_url(text)
    page = max((page for page in pages if named.path.endswith(page)), key=len, default=None)
    return Endpoint(replace(named, path=named.path.removesuffix(page or "")), page)


def parse_target(text: str) -> Target:
    """The metrics page of the engine that `text` names, which is `/metrics` below a base. As `parse_endpoint`."""
    endpoint = parse_endpoint(text, [DEFAULT_PATH])
    return endpoint.at(DEFAULT_PATH)


def _parse_url(text: str) -> Target:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise TargetError(f"target {text!r} is not a URL: {error}") from None
    if parts.scheme not in _PORTS:
        raise TargetError(f"target {text!r}: the scheme must be http or https")
    if "@" in parts.netloc:
        raise TargetError("target must not carry credentials")
    if "?" in text or "#" in text:
        raise TargetError(f"target {text!r} must not carry a query or a fragment")
    path = parts.path.rstrip("/")
    if host is None or (name := _normal_host(host)) is None or port == 0 or not _PATH.fullmatch(path + "/"):
        raise TargetError(f"target {text!r} is not a URL: expected http://host:port/path")
    return Target(parts.scheme, name, port or _PORTS[parts.scheme], path)


def _normal_host(host: str) -> str | None:
    address = parse_address(host)
    if address is not None:
        return str(address)
    host = host.lower()
    return host if _HOST.fullmatch(host) and not _ODD_ADDRESS.fullmatch(host) else None


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry: a name, or a network, which for an address is one of its own; port None stands for any."""

    host: str | Network
    port: int | None

    def fits(self, port: int) -> bool:
        return self.port is None or self.port == port

    def names(self, target: Target) -> bool:
        return self.host == target.host and self.fits(target.port)

    def covers(self, address: Address, port: int) -> bool:
        return not isinstance(self.host, str) and address in self.host and self.fits(port)


@dataclass(frozen=True, slots=True)
class AllowList:
    """The targets that may be probed; an empty list allows none."""

    entries: tuple[_Entry, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "AllowList":
        """Parse `host:port`, `host:*`, `network/bits` and `network/bits:port`. Raises TargetError naming the entry."""
        return cls(tuple(_parse_entry(entry.strip()) for entry in entries))

    def allows(self, target: Target) -> bool:
        """Whether `target` may be probed; for a name that only an address can allow, whether it may be looked up."""
        address = parse_address(target.host)
        if address is not None:
            return self.objection(target, address) is None
        return any(
            entry.names(target) or (not isinstance(entry.host, str) and entry.fits(target.port))
            for entry in self.entries
        )

    def objection(self, target: Target, address: Address) -> str | None:
        """Why `target` must not be read at `address`, where it was found; None where it may."""
        kind = never_fetched(address)
        if kind is not None:
            return f"{address} is {kind}: no engine is read there"
        if any(entry.covers(address, target.port) for entry in self.entries):
            return None
        if not any(entry.names(target) for entry in self.entries):
            return f"{address} is in no network that is allowed for port {target.port}"
        if is_loopback(address) and target.host != _LOCALHOST:
            return f"{address} is this machine: allow that address too if the name {target.host} may lead there"
        return None


def _parse_entry(text: str) -> _Entry:
    match = _NETWORK_ENTRY.fullmatch(text) or _HOST_ENTRY.fullmatch(text)
    if match is None:
        raise TargetError(f"allowed target {text!r}: expected host:port, host:*, network/bits or network/bits:port")
    groups = match.groupdict()
    port = None if groups["port"] in (None, "*") else int(groups["port"])
    if port is not None and not 0 < port <= _MAX_PORT:
        raise TargetError(f"allowed target {text!r}: the port must be 1 to 65535")
    if groups.get("network"):
        try:
            network = ip_network(groups["network"])
        except ValueError as error:
            raise TargetError(f"allowed target {text!r}: {error}") from None
        return _Entry(_allowable(text, network), port)
    host = _normal_host(groups["address"] or groups["host"])
    if host is None:
        raise TargetError(f"allowed target {text!r}: {groups['address'] or groups['host']!r} is not a host")
    address = parse_address(host)
    return _Entry(host if address is None else _allowable(text, ip_network(address)), port)


def _allowable(text: str, network: Network) -> Network:
    kind = covered_by_never(network)
    if kind is not None:
        raise TargetError(f"allowed target {text!r} is {kind}: no engine is read there; remove it")
    return network
