"""`atelier render` and `atelier contact-sheet`: pictures without any server.

What draws runs in a process of its own: it loads torch, and the API's packages know nothing of it.
"""

import argparse
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from api.cli.table import SHEETS
from api.edge.errors import Refused
from api.edge.wire import decode
from api.resources.render import PictureRequest
from domain.errors import AtelierError
from infra.analysis.arguments import BadArgument
from infra.process.supervisor import PATIENT_THREADS
from infra.settings import Settings

SUFFIXES: Final = (".jpg", ".jpeg", ".png")
STILL: Final = "render_consumers.offline.still"
SHEET: Final = "render_consumers.offline.sheets"


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
    _draw(settings, STILL, str(out), body=msgspec.json.encode(request))
    print(out)


def run_sheets(settings: Settings, arguments: argparse.Namespace) -> None:
    """Draw the sheets that are named, or all, as JPEGs into a folder."""
    for name in arguments.names:
        if name not in SHEETS:
            raise BadArgument(f"there is no sheet {name}; there are {', '.join(SHEETS)}")
    _draw(settings, SHEET, str(arguments.out), *(arguments.names or SHEETS))


def _draw(settings: Settings, module: str, *arguments: str, body: bytes = b"") -> None:
    """Run what draws as `atelier up` would, with the body model that is prepared there."""
    if find_spec("torch") is None:
        raise RenderFailed("what draws is not installed: pip install 'atelier[render]'")
    usual = {"ANNY_CACHE_DIR": str(settings.data / "anny"), **PATIENT_THREADS}
    # It needs the whole environment, as if it had been started by hand.
    environ = usual | os.environ  # noqa: TID251
    command = [sys.executable, "-m", module, *arguments]
    if subprocess.run(command, input=body, env=environ, check=False).returncode:
        raise RenderFailed("nothing could be drawn; what is above says why")


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
