"""The form of a request, whatever it asks for: its body is not packed, its parameters are plain."""

import re
from collections import Counter
from typing import Any, Final
from urllib.parse import parse_qsl

from litestar import Request
from litestar.exceptions import HTTPException

from api.edge.errors import Invalid, Violation

NOT_PACKED: Final = ("", "identity")
WHOLE_NUMBERS: Final = ("limit", "cursor")  # msgspec takes 1e9 and 10.0 for them as well
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
TEXTS: Final = ("brand", "q")  # Postgres takes no NUL
DIGITS: Final = re.compile(r"-?[0-9]+")


async def check(request: Request[Any, Any, Any]) -> None:
    """Refuse what a handler would take for something else.

    A body that is compressed, a parameter that is given twice, of which it would take the last, a
    whole number that is not written as one, and text with control characters.
    """
    encoding = request.headers.get("Content-Encoding", "")
    if encoding.strip().lower() not in NOT_PACKED:
        raise HTTPException(
            status_code=415,
            detail="send the body as it is, without the header Content-Encoding",
            headers={"Accept-Encoding": "identity"},
        )
    if query := request.scope["query_string"]:
        _check_parameters(query.decode("latin-1"))


def _check_parameters(query: str) -> None:
    given = parse_qsl(query, keep_blank_values=True)
    times = Counter(name for name, _ in given)
    violations = [
        Violation(field=name, message="is given more than once")
        for name, count in times.items()
        if count > 1
    ]
    violations += [
        Violation(field=name, message="must be a whole number, in digits")
        for name, value in given
        if name in WHOLE_NUMBERS and not DIGITS.fullmatch(value)
    ]
    violations += [
        Violation(field=name, message="must be text without control characters")
        for name, value in given
        if name in TEXTS and CONTROL.search(value)
    ]
    if violations:
        raise Invalid("some parameters are invalid", violations)
