"""How the texts of variables are read; what is wrong with one is a `ValueError` that says it."""

import base64
import binascii
import ipaddress
import os
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
KEY_BYTES: Final = 32  # of the master key exactly, of the others at least


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def yes_or_no(text: str) -> bool:
    return one_of("yes", "no")(text) == "yes"


def url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        shape = " or ".join(f"{scheme}://host" for scheme in schemes)
        parts = urlsplit(text)
        if parts.scheme not in schemes or not (parts.netloc or parts.path):
            raise ValueError(f"must be a URL like {shape}")
        return text

    return parse


def endpoint(text: str) -> str:
    address = url("http", "https")(text.rstrip("/"))
    if urlsplit(address).path or not urlsplit(address).hostname:
        raise ValueError("must be http://host:port or https://host without a path")
    return address


def base_url(text: str) -> str:
    return url("http", "https")(text.rstrip("/"))


def bootstrap(text: str) -> str:
    addresses = [address.strip() for address in text.split(",")]
    if not all(
        re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:,]+):[0-9]{1,5}", each) for each in addresses
    ):
        raise ValueError("must be host:port, or several of them with commas between")
    return ",".join(addresses)


def readable_file(text: str) -> str:
    if not os.access(text, os.R_OK):
        raise ValueError("names a file that cannot be read")
    return text


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("must be base64, for example from `openssl rand -base64 32`") from error


def master_key(text: str) -> bytes:
    key = _decoded(text)
    if len(key) != KEY_BYTES:
        raise ValueError(f"must be base64 of exactly {KEY_BYTES} bytes, but holds {len(key)}")
    return key


def hash_key(text: str) -> bytes:
    return _long_enough(_decoded(text))


def jwt_key(text: str) -> bytes:
    return _long_enough(text.encode())


def jwt_keys(text: str) -> tuple[bytes, ...]:
    return tuple(jwt_key(each.strip()) for each in text.split(",") if each.strip())


def networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise ValueError("must be addresses or networks, such as 10.0.0.0/8,::1") from error


def mail_address(text: str) -> str:
    if not re.fullmatch(r"[^\r\n]*[^@\s]+@[^@\s]+", text):
        raise ValueError("must be an email address, such as Atelier <atelier@example.org>")
    return text


def _long_enough(key: bytes) -> bytes:
    if len(key) < KEY_BYTES:
        raise ValueError(f"must hold at least {KEY_BYTES} bytes, but holds {len(key)}")
    return key


def named(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", text):
        raise ValueError("must be a bucket name: 3 to 63 of a-z, 0-9, dot and hyphen")
    return text


def hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(each.strip().lower().removesuffix(":443") for each in text.split(","))
    # The last part begins with a letter: 127.1 and 0x7f000001 are addresses to those who look up.
    name = r"([a-z0-9-]+\.)+[a-z][a-z0-9-]*(:[0-9]{1,5})?"
    if not all(re.fullmatch(name, each) for each in hosts):
        raise ValueError("must be names of hosts with commas between, as shop.example.com")
    return hosts


def webhook_keys(text: str) -> tuple[str, ...]:
    keys = tuple(each.strip() for each in text.split(","))
    for each in keys:
        start, _, rest = each.partition("_")
        if start != "whsec" or not 24 <= len(_decoded(rest)) <= 64:
            raise ValueError("must be whsec_ and base64 of 24 to 64 bytes")
    return keys


def origins(text: str) -> tuple[str, ...]:
    origins = tuple(each.strip() for each in text.split(","))
    if not all(re.fullmatch(r"https?://[^/\s,*]+", each) for each in origins):
        raise ValueError("must be origins with commas between, as https://shop.example.com")
    return origins
