"""Draws one request into a file: `atelier render` starts this as a process of its own."""

import io
import os
import sys
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from domain.picture import ApparelDetails, ImageOptions, RenderMode, UserDetails
from domain.render import RenderRequested
from render_consumers.engines import clothing
from render_consumers.engines.engine import jpeg
from render_consumers.painting.painter import PICTURE, Painter


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What of a `/generate` request shows in the picture."""

    user_details: UserDetails = UserDetails()
    apparel_details: ApparelDetails = ApparelDetails()
    image_options: ImageOptions = ImageOptions()
    render_mode: RenderMode = "3D"


def main() -> None:
    """Draw the request on stdin into the file that is named, and tell what is not as asked."""
    path = Path(sys.argv[1])
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    picture, ignored = drawn(Painter(), asked)
    buffer = io.BytesIO()
    if path.suffix.lower() == ".png":
        picture.save(buffer, "PNG")
    else:
        buffer.write(jpeg(picture, asked.image_options.quality))
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_bytes(buffer.getvalue())
    os.replace(scratch, path)
    for field in ignored:
        print(f"{field} cannot be drawn as asked: its default is drawn", file=sys.stderr)


def drawn(
    painter: Painter, asked: Asked, size: tuple[int, int] = PICTURE
) -> tuple[Image.Image, tuple[str, ...]]:
    """The picture, and the fields that cannot be drawn as asked."""
    request = RenderRequested(
        account_number=0,
        vip=False,
        limit=1,
        kind="image",
        user_details=asked.user_details,
        apparel_details=asked.apparel_details,
        image_options=asked.image_options,
        render_mode=asked.render_mode,
    )
    look, flat = clothing.look(request), asked.render_mode == "2D_Kling"
    painting = painter.paint(asked.user_details, look, size=size, flat=flat)
    picture = Image.fromarray(np.asarray(painting.pixels))
    return picture, (*painting.ignored, *clothing.not_drawn(request))


if __name__ == "__main__":
    main()
