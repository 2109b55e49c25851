"""Pictures that people send: read with suspicion, turned upright, and freed of all metadata."""

import contextlib
import io
import threading
from typing import ClassVar, Final, NamedTuple

from pi_heif import register_heif_opener
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from domain.errors import AtelierError, Unavailable

FORMATS: Final = ("JPEG", "PNG", "WEBP", "HEIF")
MOST_PIXELS: Final = 25_000_000  # of what is sent; 24 million is what a phone takes by default
LARGEST_SIDE: Final = 2_048  # pixels, of what is kept
THUMBNAIL_SIDE: Final = 256  # pixels
WAIT_S: Final = 4.0
PNG_EFFORT: Final = 3  # of 9: half the time for a tenth more bytes

# One picture at a time is decoded in a process, so that its memory stays within what one needs:
# less than 450 MiB (test_images.py measures it).
_decoding = threading.Lock()


class Avatar(NamedTuple):
    """A picture as PNG, and a small one of it as JPEG."""

    picture: bytes
    thumbnail: bytes


class NotAnImage(AtelierError):
    """The bytes are no picture of a kind that we read."""

    code: ClassVar[str] = "unsupported_media_type"


class ImageTooLarge(AtelierError):
    """The picture has more pixels than we decode."""

    code: ClassVar[str] = "image_too_large"


class DamagedImage(AtelierError):
    """The picture cannot be decoded to its end."""

    code: ClassVar[str] = "damaged_image"


def make_avatar(data: bytes) -> Avatar:
    """Make an avatar of a JPEG, PNG, WebP or HEIC.

    Raises `NotAnImage`, `ImageTooLarge`, `DamagedImage`, or `Unavailable` when too many pictures
    wait for their turn.
    """
    if not _decoding.acquire(timeout=WAIT_S):
        raise Unavailable("many pictures are being read just now; try again in a moment")
    try:
        picture = _decoded(data)
        return Avatar(_png(picture), _thumbnail(picture))
    finally:
        _decoding.release()


def upright(data: bytes) -> bytes:
    """The picture as PNG, over white where it is clear; raises what `make_avatar` raises."""
    if not _decoding.acquire(timeout=WAIT_S):
        raise Unavailable("many pictures are being read just now; try again in a moment")
    try:
        return _png(_over_white(_decoded(data)))
    finally:
        _decoding.release()


def _decoded(data: bytes) -> Image.Image:
    register_heif_opener()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:  # as its header says: nothing is decoded
                raise ImageTooLarge(f"the picture has more than {MOST_PIXELS} pixels")
            image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
            return _plain(ImageOps.exif_transpose(image))
    except AtelierError:
        raise
    except UnidentifiedImageError as error:
        raise NotAnImage("send a picture as JPEG, PNG, WebP or HEIC") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"the picture has more than {MOST_PIXELS} pixels") from error
    except Exception as error:  # damaged bytes make the readers stumble in ways of their own
        raise DamagedImage("the picture cannot be read: it is damaged or cut off") from error


def _plain(image: Image.Image) -> Image.Image:
    """The pixels alone, in sRGB."""
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK"):
        with contextlib.suppress(ImageCms.PyCMSError, OSError):  # a bad profile is none
            image = _in_srgb(image, profile)
    kept = image.convert("RGBA" if image.has_transparency_data else "RGB")
    kept.info.clear()
    return kept


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    ours = ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image, theirs, ours, outputMode="RGB") or image


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=PNG_EFFORT)
    return buffer.getvalue()


def _thumbnail(picture: Image.Image) -> bytes:
    small = picture.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    _over_white(small).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _over_white(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")
