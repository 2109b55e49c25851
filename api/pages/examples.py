"""What requests, answers and refusals look like: the examples of the API's description."""

import json
from importlib import resources
from typing import Any, Final, NamedTuple

from api.cli import demo

_TABLE: Final = json.loads((resources.files("api.pages") / "examples.json").read_bytes())


class Shown(NamedTuple):
    """An endpoint's examples by their names; those without a body have no request."""

    request: dict[str, Any]
    answer: dict[str, Any]
    refusal: dict[str, Any]  # where it is no error's body
    errors: dict[str, Any]  # by their codes, as this endpoint says them


def _shown() -> dict[str, Shown]:
    shown = {
        endpoint: Shown(
            request=each.get("request", {}),
            answer=each["answer"],
            refusal=each.get("refusal", {}),
            errors=_TABLE["errors"] | each.get("errors", {}),
        )
        for endpoint, each in _TABLE["operations"].items()
    }
    picture = json.loads(demo.example())
    turn = {"video_options": _TABLE["video_options"]}
    video = {name: value for name, value in picture.items() if name != "image_options"} | turn
    pictures = {"everything": picture, "all by default": {}, **shown["POST /generate"].request}
    shown["POST /generate"] = shown["POST /generate"]._replace(request=pictures)
    shown["POST /generate_video"].request.update({"everything": video, "all by default": {}})
    return shown


OPERATIONS: Final = _shown()  # by method and path
