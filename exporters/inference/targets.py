"""Which addresses a probe may read: targets are parsed, normalised and held against an allow-list.

The prober fetches what a caller names, so without this list anyone who reaches the exporter could read any HTTP
service that it reaches. Nothing is allowed by default, redirects are not followed, and names are never resolved to
match a network: only the name itself can be listed.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

DEFAULT_PATH = "/metrics"
_MAX_PORT = 65535
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_NETWORK_ENTRY = re.compile(r"(?P<network>[^\[\]]+/\d{1,3})(:(?P<port>\d{1,5}|\*))?")
_HOST_ENTRY = re.compile(r"(\[(?P<address>[^\[\]]+)\]|(?P<host>[^\[\]:]+)):(?P<port>\d{1,5}|\*)")

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


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


def parse_target(text: str) -> Target:
    """Parse `http(s)://host[:port][/path]` or `host:port`; a path that does not end in `/metrics` is a base of it.

    So a probe reads metrics pages only, whatever else an allowed server answers to a GET.

    Raises TargetError for other schemes, credentials, query, fragment, and characters that do not belong in a URL.
    """
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
    if not path.endswith(DEFAULT_PATH):
        path += DEFAULT_PATH
    if host is None or (name := _normal_host(host)) is None or port == 0 or not _PATH.fullmatch(path):
        raise TargetError(f"target {text!r} is not a URL: expected http://host:port/path")
    return Target(parts.scheme, name, port or _PORTS[parts.scheme], path)


def _normal_host(host: str) -> str | None:
    address = _address(host)
    if address is not None:
        return str(address)
    host = host.lower()
    return host if _HOST.fullmatch(host) else None


def _address(host: str) -> _Address | None:
    """The IP address that `host` spells, an IPv4-mapped one as IPv4; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return None if address.scope_id else address.ipv4_mapped or address
    return address


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry: a name or address, or a network; port None stands for any."""

    host: str | _Network
    port: int | None

    def allows(self, target: Target) -> bool:
        if self.port is not None and self.port != target.port:
            return False
        if isinstance(self.host, str):
            return self.host == target.host
        address = _address(target.host)
        return address is not None and address in self.host


@dataclass(frozen=True, slots=True)
class AllowList:
    """The targets that may be probed; an empty list allows none."""

    entries: tuple[_Entry, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "AllowList":
        """Parse `host:port`, `host:*`, `network/bits` and `network/bits:port`. Raises TargetError naming the entry."""
        return cls(tuple(_parse_entry(entry.strip()) for entry in entries))

    def allows(self, target: Target) -> bool:
        """Whether `target` may be probed."""
        return any(entry.allows(target) for entry in self.entries)


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
            return _Entry(ipaddress.ip_network(groups["network"]), port)
        except ValueError as error:
            raise TargetError(f"allowed target {text!r}: {error}") from None
    host = _normal_host(groups["address"] or groups["host"])
    if host is None:
        raise TargetError(f"allowed target {text!r}: {groups['address'] or groups['host']!r} is not a host")
    return _Entry(host, port)
