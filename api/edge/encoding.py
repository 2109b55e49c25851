"""How a body is packed: not at all."""

from typing import Any, Final

from litestar import Request
from litestar.exceptions import HTTPException

NOT_PACKED: Final = ("", "identity")


async def refuse_packed(request: Request[Any, Any, Any]) -> None:
    """Answer 415 to a body that is compressed, before anybody takes it for what is inside."""
    encoding = request.headers.get("Content-Encoding", "")
    if encoding.strip().lower() not in NOT_PACKED:
        raise HTTPException(
            status_code=415,
            detail="send the body as it is, without the header Content-Encoding",
            headers={"Accept-Encoding": "identity"},
        )
