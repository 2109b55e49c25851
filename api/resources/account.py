"""Accounts: registering, logging in, and what people tell about themselves."""

import time
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import JSONBody

from api.edge import limits, origin
from api.edge.auth import SignedIn
from api.edge.errors import OF_COMMAND, OF_JSON, OF_READ, OF_TOKEN, documented
from api.edge.positions import Seen, shown, written
from api.edge.wire import Check, StrictRequest
from api.services import BY_CODE, Provided, Services
from commands import Origin, Outcome, execute
from commands.account import EraseAccount, RegisterAccount, UpdateAccountInfo
from domain.account import FreeText
from domain.emails import is_mailable
from domain.reservations import EMAIL
from infra.access.tokens import Unauthorized
from projections import accounts

YEAR_1900: Final = -2_208_988_800  # Unix seconds

MAIL_SUBJECT: Final = "Your code for Atelier"
MAIL: Final = """Your code for logging in to Atelier:

    {code}

It is good for ten minutes and one login. If you have not asked for it, ignore this mail:
without the code nobody gets in.
"""

Email = Annotated[
    str,
    msgspec.Meta(
        max_length=254,
        pattern=r"^\s*[^@\s]+@[^@\s]+\s*$",
        description="an email address of at most 254 characters",
    ),
]
NewEmail = Annotated[Email, Check(is_mailable, "one that mail can go to, such as ada@example.org")]
FullName = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=200, pattern=r"\S", description="a name of 1 to 200 characters"
    ),
    Check(lambda name: any(map(str.isprintable, "".join(name.split()))), "text that shows"),
]
BirthDate = Annotated[
    int,
    msgspec.Meta(ge=YEAR_1900, description="Unix seconds of a day since 1900, not in the future"),
    Check(lambda moment: moment <= time.time(), "in the past"),
]


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """Who opens an account."""

    email: NewEmail
    full_name: FullName
    date_of_birth: BirthDate
    ethnicity: FreeText
    gender: FreeText


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """Who logs in; ``code`` is the one that was mailed, where logging in takes one."""

    email: Email
    code: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to send as `Authorization: Bearer <token>` from now on.

    It is null with ``code_required``: then a code is on its way to the address, if an account has
    it, and the token is given for both together.
    """

    token: str | None
    code_required: bool = False


class InfoUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; fields that are left out stay as they are."""

    full_name: FullName | None = None
    date_of_birth: BirthDate | None = None
    ethnicity: FreeText | None = None
    gender: FreeText | None = None


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has told about themselves."""

    email: str
    full_name: str
    date_of_birth: int
    ethnicity: str
    gender: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Says that it is done."""

    message: str


@post(
    "/register",
    status_code=200,
    tags=["Account"],
    guards=[limits.registrations],
    request_class=StrictRequest,
    responses=documented(*OF_JSON, "email_taken", "too_many_requests", *OF_COMMAND),
)
async def register(
    data: JSONBody[Registration],
    request: Request[Any, Any, Any],
    services: Provided,
) -> Response[Message]:
    """Open an account."""
    asker, limit = f"email {services.store.email_key(data.email)}", services.settings.register_limit
    await limits.count(request, "register", asker, limit)
    outcome = await services.in_thread(_register, data, services, origin.of(request))
    return written(Message(message="The account has been registered."), outcome)


@post(
    "/login",
    status_code=200,
    tags=["Account"],
    guards=[limits.logins],
    request_class=StrictRequest,
    responses=documented(*OF_JSON, "unauthorized", "too_many_requests", "unavailable"),
)
async def login(
    data: JSONBody[Credentials], request: Request[Any, Any, Any], services: Provided
) -> Token:
    """Get a token for an account, where the server asks for codes in two steps."""
    asker, limit = f"email {services.store.email_key(data.email)}", services.settings.login_limit
    await limits.count(request, "login", asker, limit)
    if services.settings.login != BY_CODE:
        return Token(token=await services.in_thread(_login, data.email, services))
    if data.code is None:
        await services.in_thread(_send_code, data.email, services)
        return Token(token=None, code_required=True)
    token = await services.in_thread(_login_by_code, data.email, data.code, services)
    return Token(token=token)


@get(
    "/get_user_info",
    tags=["Account"],
    responses=documented(*OF_TOKEN, *OF_READ),
)
async def get_user_info(request: SignedIn, services: Provided, seen: Seen) -> Response[Info]:
    """What the person has told."""
    answer = await services.in_time(accounts.account(services.reader, request.user, seen=seen))
    if not answer.rows or answer.rows[0].email is None:
        raise Unauthorized("there is no such account; log in again")
    return shown(msgspec.convert(answer.rows[0], Info, from_attributes=True), answer)


@post(
    "/update_user_info",
    status_code=200,
    tags=["Account"],
    request_class=StrictRequest,
    responses=documented(*OF_TOKEN, *OF_JSON, *OF_COMMAND),
)
async def update_user_info(
    data: JSONBody[InfoUpdate], request: SignedIn, services: Provided
) -> Response[Message]:
    """Change what the person has told."""
    command = UpdateAccountInfo(
        aggregate_id=request.user, account=request.user, **msgspec.structs.asdict(data)
    )
    outcome = await services.in_thread(_update, command, services, origin.of(request))
    changed = "has been updated" if outcome.events else "was up to date already"
    return written(Message(message=f"The account {changed}."), outcome)


@delete(
    "/account",
    status_code=200,
    tags=["Account"],
    responses=documented(*OF_TOKEN, *OF_COMMAND),
)
async def erase_account(request: SignedIn, services: Provided) -> Response[Message]:
    """Erase the account for good: everything that was told or made, and the token with it.

    What is left of the person in the event log can be read by nobody. Files are deleted soon after.
    The email address can be registered anew.
    """
    outcome = await services.in_thread(_erase, request.user, services, origin.of(request))
    return written(Message(message="The account has been erased."), outcome)


def _register(data: Registration, services: Services, by: Origin) -> Outcome:
    account = uuid4()
    command = RegisterAccount(
        aggregate_id=account,
        account=account,
        number=services.store.next_account_number(),
        email=data.email.strip(),
        full_name=data.full_name,
        date_of_birth=data.date_of_birth,
        ethnicity=data.ethnicity,
        gender=data.gender,
    )
    return execute(command, services.store, by)


def _login(email: str, services: Services) -> str:
    account = services.store.owner_of(EMAIL, services.store.email_key(email))
    if account is None:
        raise Unauthorized("no account has this email address")
    return services.tokens.issue(account)


def _send_code(email: str, services: Services) -> None:
    """Known and unknown addresses cost the same; only the mail tells them apart."""
    email_key = services.store.email_key(email)
    account = services.store.owner_of(EMAIL, email_key)
    code = services.login_codes.issue(email_key, account)
    services.later(partial(_mail_code, account, code, services))


def _mail_code(account: UUID | None, code: str | None, services: Services) -> None:
    if account is None or code is None:
        return
    # The address that was registered: what was typed may only look the same.
    email = services.account(account).info.email
    if email is not None:
        services.mailer.send(email, MAIL_SUBJECT, MAIL.format(code=f"{code[:4]} {code[4:]}"))


def _login_by_code(email: str, code: str, services: Services) -> str:
    account = services.login_codes.redeem(services.store.email_key(email), code)
    if account is None:
        raise Unauthorized("the code is wrong, used or expired; ask for a new one")
    services.account(account)
    return services.tokens.issue(account)


def _erase(account: UUID, services: Services, by: Origin) -> Outcome:
    services.account(account)
    outcome = execute(EraseAccount(aggregate_id=account, account=account), services.store, by)
    services.store.keys.forget(account)
    return outcome


def _update(command: UpdateAccountInfo, services: Services, by: Origin) -> Outcome:
    services.account(command.aggregate_id)
    return execute(command, services.store, by)


OPEN: Final = [register, login]
PRIVATE: Final = [get_user_info, update_user_info, erase_account]
