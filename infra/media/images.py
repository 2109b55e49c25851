"""Pictures that people send: read with suspicion, turned upright, and freed of all metadata."""

import contextlib
import hashlib
import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from typing import ClassVar, Final, NamedTuple

from pi_heif import register_heif_opener
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from domain.errors import AtelierError, Unavailable

FORMATS: Final = ("JPEG", "PNG", "WEBP", "HEIF")
MOST_PIXELS: Final = 25_000_000  # of what is sent; 24 million is what a phone takes by default
LARGEST_SIDE: Final = 2_048  # pixels, of what is kept
THUMBNAIL_SIDE: Final = 256  # pixels
WAIT_S: Final = 4.0
PNG_EFFORT: Final = 3  # of 9: half the time for a tenth more bytes

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
PNG_ANCILLARY: Final = (b"tRNS", b"iCCP", b"eXIf")  # what decides how the pixels look
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_NOISE: Final = b"\x55\xa3\x1c\xe6\x39" * 200  # what no row of a picture should be made of

TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

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
        # Pillow warns of what it passes over by itself, such as EXIF that it cannot read.
        with warnings.catch_warnings(action="ignore"), _opened(_readable(data)) as image:
            turn = TURNS.get(_orientation(image))
            tones = _eight_bits(image)
            tones.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
            kept = _plain(tones)
            return kept if turn is None else kept.transpose(turn)
    except AtelierError:
        raise
    except UnidentifiedImageError as error:
        raise NotAnImage("send a picture as JPEG, PNG, WebP or HEIC") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"the picture has more than {MOST_PIXELS} pixels") from error
    except Exception as error:  # damaged bytes make the readers stumble in ways of their own
        raise DamagedImage("the picture cannot be read: it is damaged or cut off") from error


def _opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MOST_PIXELS:  # as its header says: nothing is decoded
        raise ImageTooLarge(f"the picture has more than {MOST_PIXELS} pixels")
    return image


def _readable(data: bytes) -> bytes:
    """The same picture without what other programs write and Pillow stumbles over."""
    if data.startswith(PNG_SIGNATURE):
        return PNG_SIGNATURE + b"".join(_png_chunks(data))
    if data.startswith(JPEG_START) and JPEG_END not in data[-64:] and _has_all_rows(data):
        return data + JPEG_END
    return data


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """The chunks that matter: texts, times and the like are passed over, whatever they hold."""
    start = len(PNG_SIGNATURE)
    while start < len(data):
        size = int.from_bytes(data[start : start + 4])
        name, chunk = data[start + 4 : start + 8], data[start : start + size + 12]
        is_critical = not name[:1].islower()
        if is_critical or (name in PNG_ANCILLARY and _is_sound(chunk)):
            yield chunk
        start += size + 12


def _is_sound(chunk: bytes) -> bool:
    return chunk[-4:] == struct.pack(">I", zlib.crc32(chunk[4:-4]))


def _has_all_rows(data: bytes) -> bool:
    """Whether a JPEG without its end marker is whole otherwise.

    Where rows are missing the decoder makes them of what follows, so they differ by it.
    """
    return _digest(data + JPEG_END) == _digest(data + JPEG_NOISE + JPEG_END)


def _digest(data: bytes) -> bytes:
    with _opened(data) as image:
        image.draft(None, (LARGEST_SIDE, LARGEST_SIDE))
        return hashlib.sha256(image.tobytes()).digest()


def _orientation(image: Image.Image) -> int:
    """As EXIF says, from 1 to 8; what cannot be understood is 1, upright."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # whatever a program has written there, the picture can be read
        return 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 bits as greys of 8: Pillow's own conversion clips them."""
    if not image.mode.startswith("I"):
        return image
    return image.convert("I").point(lambda tone: tone * (1 / 257)).convert("L")


def _plain(image: Image.Image) -> Image.Image:
    """The pixels alone, in sRGB."""
    clear = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    colours = _without_alpha(image)
    if profile := image.info.get("icc_profile"):
        with contextlib.suppress(ImageCms.PyCMSError, OSError):  # a bad profile is none
            colours = _in_srgb(colours, profile)
    kept = colours.convert("RGB")
    if clear is not None:
        kept.putalpha(clear)
    kept.info.clear()
    return kept


def _without_alpha(image: Image.Image) -> Image.Image:
    if image.mode in ("RGB", "CMYK", "L"):
        return image
    if image.mode in ("1", "LA"):
        return image.convert("L")
    return image.convert("RGBA").convert("RGB")


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
