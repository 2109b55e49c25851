"""Where webhooks may go: to hosts that the settings name, and only at public addresses."""

import ipaddress
import socket
from collections.abc import Callable, Collection
from typing import ClassVar, Final, NamedTuple
from urllib.parse import urlsplit

from domain.errors import AtelierError

HTTPS: Final = 443
GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")
PROTOCOL_ASSIGNMENTS: Final = ipaddress.ip_network("192.0.0.0/24")  # global to Python 3.11

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Permit = Callable[[Address], bool]


class Forbidden(AtelierError):
    """Nothing may be sent there; the message ends the sentence "the address must …"."""

    code: ClassVar[str] = "forbidden"


class Target(NamedTuple):
    """An address that is allowed by its text; ``path`` has its query as well."""

    host: str
    port: int
    path: str


def target(url: str, hosts: Collection[str]) -> Target:
    """Take an address apart; raises `Forbidden` unless it is https and its host one of these.

    A host stands for its port 443, any other port is named with it: ``shop.example.com:8443``.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", HTTPS if parts.port is None else parts.port
    except ValueError as error:
        raise Forbidden("be an address such as https://shop.example.com/path") from error
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        raise Forbidden("be written in ASCII, with %XX for all else")
    if parts.scheme != "https" or not host:
        raise Forbidden("begin with https://")
    if "@" in parts.netloc:
        raise Forbidden("hold no user and no password")
    if "#" in url:
        raise Forbidden("hold no #")
    if not hosts:
        raise Forbidden("be left out: this server allows no host")
    if (host if port == HTTPS else f"{host}:{port}") not in hosts:
        raise Forbidden("have a host, and a port, that this server allows")
    query = f"?{parts.query}" if parts.query else ""
    return Target(host, port, (parts.path or "/") + query)


def resolved(to: Target, permits: Permit) -> list[str]:
    """The network addresses of the host; raises `Forbidden` unless every one of them is permitted.

    Connect to these and do not ask for the name again: the next answer may be another.
    """
    found = socket.getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    for each in addresses:
        if not permits(ipaddress.ip_address(each)):
            raise Forbidden(f"not lead to {each}, which is not public")
    return addresses


def is_public(address: Address) -> bool:
    """Whether the address belongs to a machine on the internet, and to none behind it or in it."""
    if isinstance(address, ipaddress.IPv4Address):
        return (
            address.is_global and not address.is_multicast and address not in PROTOCOL_ASSIGNMENTS
        )
    # Outside of this block are also those that stand for an IPv4 address (::ffff:…, 64:ff9b::…).
    tunnelled = address.sixtofour or address.teredo
    return address in GLOBAL_UNICAST and address.is_global and not tunnelled
