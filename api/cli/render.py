"""`atelier render`: one picture from a request as clients send it, without any server."""

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from api.edge.errors import Refused
from api.edge.wire import decode
from api.resources.render import PictureRequest
from domain.errors import AtelierError
from infra.analysis.arguments import BadArgument
from infra.settings import Settings

SUFFIXES: Final = (".jpg", ".jpeg", ".png")
DRAW: Final = "render_consumers.offline.still"  # in a process of its own: it loads torch


class RenderFailed(AtelierError):
    """The picture could not be drawn."""

    code = "render_failed"


def run(settings: Settings, arguments: argparse.Namespace) -> None:
    """Draw a request into a file; raises `BadArgument` with everything that is wrong with it."""
    out: Path = arguments.out
    if out.suffix.lower() not in SUFFIXES:
        raise BadArgument(f"--out {out} must end in one of {', '.join(SUFFIXES)}")
    if not out.parent.is_dir():
        raise BadArgument(f"--out {out}: there is no folder {out.parent}")
    request = _request(arguments.request)
    if find_spec("torch") is None:
        raise RenderFailed("what draws is not installed: pip install 'atelier[render]'")
    command = [sys.executable, "-m", DRAW, str(out)]
    if subprocess.run(command, input=msgspec.json.encode(request), check=False).returncode:
        raise RenderFailed(f"{out} could not be drawn")
    print(out)


def _request(name: str) -> PictureRequest:
    try:
        body = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise BadArgument(f"--request {name} cannot be read: {error.strerror}") from error
    try:
        return decode(body, PictureRequest)
    except Refused as error:
        told = [f"\n  {each.field or 'the body'} {each.message}" for each in error.details]
        raise BadArgument(f"the request is refused: {''.join(told) or error}") from error
