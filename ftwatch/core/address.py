"""May this address be dialled? The network guard's verdict on one resolved address, as a pure function.

Names are not looked at here: only what a resolver made of them counts, since `127.1`, `0x7f.1` and a name
that changes its mind all end as an address. The lists are our own: what the standard library calls private
or global differs between its versions and misses several of these.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["forbidden"]

Address = IPv4Address | IPv6Address


def _networks(*written: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(IPv6Network(one) if ":" in one else IPv4Network(one) for one in written)


# Whoever answers there hands out the machine's own credentials.
_METADATA = _networks(
    "169.254.169.254/32",
    "169.254.170.2/32",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    "fd00:ec2::/32",
    "fd20:ce::254/128",
)
_LINK_LOCAL = _networks("169.254.0.0/16", "fe80::/10")
_MULTICAST = _networks("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")

# A network of one's own, which operators may well mean; refused where only the public one is allowed.
_PRIVATE = _networks(
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::/128",
    "::1/128",
    "fc00::/7",
    "fec0::/10",
)
# Nobody's: for documents, benchmarks, the future; and prefixes that stand for another network's inside.
_RESERVED = _networks(
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
)

# Where an IPv4 address hides at the end of an IPv6 one: mapped, compatible, translated, NAT64 (also local).
_CARRIERS = _networks("::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")


@lru_cache(maxsize=256)
def forbidden(address: str, *, strict: bool = False) -> str | None:
    """Why this address is not dialled, or None where it may be.

    Never: cloud metadata services, link-local and multicast addresses. With `strict` also whatever does not
    belong to the public network. An IPv6 address is judged by the IPv4 address inside it, too.
    """
    try:
        given = ip_address(address.partition("%")[0])
    except ValueError:
        return "no address at all"
    both = (given, *_inside(given))
    reasons = [_always(one) for one in both]
    if strict:
        reasons += [_unless_public(one) for one in both]
    return next(filter(None, reasons), None)


def _inside(address: Address) -> tuple[Address, ...]:
    """The IPv4 addresses that an IPv6 one carries."""
    if isinstance(address, IPv4Address):
        return ()
    bits = int(address)
    low = IPv4Address(bits & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(bits >> 80 & 0xFFFFFFFF),)
    if address in _TEREDO:
        return (IPv4Address(bits >> 64 & 0xFFFFFFFF), IPv4Address(~bits & 0xFFFFFFFF))
    # `::` and `::1` are themselves, not 0.0.0.0 and 0.0.0.1.
    if bits > 1 and any(address in carrier for carrier in _CARRIERS):
        return (low,)
    return ()


def _always(address: Address) -> str | None:
    for networks, reason in (
        (_METADATA, "a cloud's metadata service"),
        (_LINK_LOCAL, "a link-local address"),
        (_MULTICAST, "a multicast address"),
    ):
        if any(address in network for network in networks):
            return reason
    return None


def _unless_public(address: Address) -> str | None:
    if any(address in network for network in _PRIVATE):
        return "an address of a private network"
    if any(address in network for network in _RESERVED):
        return "a reserved address"
    return None if address.is_global or _carries(address) else "no address of the public network"


def _carries(address: Address) -> bool:
    """Whether the standard library's verdict is about the wrapping only: the address inside is judged."""
    return bool(_inside(address))
