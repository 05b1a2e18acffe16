"""Addresses that nothing is fetched from, whoever allows it: they lead to metadata services, or to no single server.

An IPv6 address can carry an IPv4 one that a translator or a tunnel unwraps on the way; what it carries is judged too.
"""

import ipaddress
from collections.abc import Iterator
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_METADATA = "a cloud's metadata service"
_NEVER: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("::/128", "unspecified"),
        ("169.254.0.0/16", "link-local"),  # metadata of AWS, Azure, Google, Oracle and others is 169.254.169.254
        ("fe80::/10", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("ff00::/8", "multicast"),
        ("fd00:ec2::/32", _METADATA),  # AWS
        ("fd20:ce::254/128", _METADATA),  # Google
        ("100.100.100.200/32", _METADATA),  # Alibaba
        ("168.63.129.16/32", _METADATA),  # Azure's WireServer
        ("192.0.0.192/32", _METADATA),  # Oracle, classic
    )
)

# Prefixes whose last 32 bits are an IPv4 address: mapped, translated (SIIT), compatible, NAT64.
_LAST_32_BITS = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96", "64:ff9b::/96")))
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215
_ISATAP = (0x00005EFE, 0x02005EFE)  # the upper half of the interface identifier, RFC 5214
_IPV4 = 0xFFFFFFFF


def parse_address(text: str) -> Address | None:
    """The IP address that `text` spells, an IPv4-mapped one as IPv4; None for anything else, and with a scope."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return None if address.scope_id else address.ipv4_mapped or address
    return address


def never_fetched(address: Address) -> str | None:
    """What makes `address` one that nothing is fetched from, in a word or two; None where nothing does."""
    for form in _forms(address):
        for network, kind in _NEVER:
            if form.version == network.version and form in network:
                return kind
    return None


def covered_by_never(network: Network) -> str | None:
    """What makes every address of `network` one that nothing is fetched from; None where some may be."""
    first, last = network[0], network[-1]
    for never, kind in _NEVER:
        if network.version == never.version and first in never and last in never:
            return kind
    return None


def is_loopback(address: Address) -> bool:
    """Whether `address`, or an IPv4 address inside it, is this machine itself."""
    return any(form.is_loopback for form in _forms(address))


def _forms(address: Address) -> Iterator[Address]:
    """The address, and the IPv4 addresses that it may be turned into on the way."""
    yield address
    if not isinstance(address, ipaddress.IPv6Address) or address.is_loopback:
        return
    bits = int(address)
    if any(address in network for network in _LAST_32_BITS) or (bits >> 32) & _IPV4 in _ISATAP:
        yield ipaddress.IPv4Address(bits & _IPV4)
    if address in _NAT64_LOCAL:
        yield from _nat64_local(bits)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


def _nat64_local(bits: int) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 address behind a prefix of 48, 56, 64 or 96 bits (RFC 6052, byte 8 is left out): which, nobody says.

    Where it is not, there is filling, which reads 0.x.x.x.
    """
    places = (
        (bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF,
        (bits >> 64 & 0xFF) << 24 | bits >> 32 & 0xFFFFFF,
        bits >> 24 & _IPV4,
        bits & _IPV4,
    )
    return (ipaddress.IPv4Address(place) for place in places if place >> 24)
