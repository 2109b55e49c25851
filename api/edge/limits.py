"""Who may ask how often: by network address, and by account or email address."""

import ipaddress
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.handlers import BaseRouteHandler
from litestar.types import Message, Scope

from api.services import Services
from infra.access.limits import Quota, TooManyRequests
from infra.values import Network

FOUND: Final = "atelier_rate_limit"
SITE_BITS: Final = 64  # of an IPv6 address: below that, one person has them all

Connection = ASGIConnection[Any, Any, Any, Any]


async def logins(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Count a login of the network address; its body names the email address, counted later."""
    limit = _services(connection).settings.login_limit
    await count(connection, "login", f"network {_network(connection)}", limit)


async def registrations(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Count a registration of the network address."""
    limit = _services(connection).settings.register_limit
    await count(connection, "register", f"network {_network(connection)}", limit)


async def uploads(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Count an upload of the network address and of the account, before its body is read."""
    limit = _services(connection).settings.upload_limit
    await count(connection, "upload", f"network {_network(connection)}", limit)
    if account := connection.scope.get("user"):
        await count(connection, "upload", f"account {account}", limit)


async def count(connection: Connection, rule: str, asker: str, limit: int) -> None:
    """Count one request of the asker; raises `TooManyRequests`. The answer tells the quota."""
    services = _services(connection)
    try:
        quota = await services.in_thread(services.limits.count, rule, asker, limit)
    except TooManyRequests as refusal:
        connection.scope["state"][FOUND] = refusal.quota
        raise
    before: Quota | None = connection.scope["state"].get(FOUND)
    if before is None or quota.remaining < before.remaining:
        connection.scope["state"][FOUND] = quota


async def add_headers(message: Message, scope: Scope) -> None:
    """Tell the asker where they stand, in a refusal as well."""
    state: dict[str, Any] = scope["state"]
    if message["type"] == "http.response.start" and FOUND in state:
        quota: Quota = state[FOUND]
        headers = MutableScopeHeaders.from_message(message)
        headers["RateLimit-Limit"] = str(quota.limit)
        headers["RateLimit-Remaining"] = str(quota.remaining)
        headers["RateLimit-Reset"] = str(quota.reset)
        if message["status"] == TOO_MANY:
            headers["Retry-After"] = str(quota.reset)


TOO_MANY: Final = 429


def client_address(peer: str, forwarded: str, trusted: tuple[Network, ...]) -> str:
    """The address of the client: the last one that none of our proxies has.

    What `X-Forwarded-For` says counts only as far as trusted proxies have written it, from its
    right end.
    """
    address = peer
    for told in reversed(forwarded.split(",")):
        if not _is_in(address, trusted) or not told.strip():
            break
        address = told.strip()
    return address


def _network(connection: Connection) -> str:
    """The client's address as it is counted: an IPv6 site as one."""
    peer = connection.client.host if connection.client else ""
    forwarded = ",".join(Headers.from_scope(connection.scope).getall("X-Forwarded-For", []))
    trusted = _services(connection).settings.trusted_proxies
    return site(client_address(peer, forwarded, trusted))


def site(address: str) -> str:
    """What counts as one asker: an IPv4 address, or the network of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, SITE_BITS), strict=False))


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if parsed.version == 6 and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def _services(connection: Connection) -> Services:
    services: Services = connection.app.state.services
    return services
