"""Pictures that people send: read with suspicion, turned upright, and freed of all metadata."""

import contextlib
import hashlib
import io
import re
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
PNG_ANCILLARY: Final = (b"iCCP", b"eXIf")  # what decides how the pixels look, beside tRNS
PNG_TRANSPARENT_BYTES: Final = {0: (2,), 2: (6,), 3: range(1, 257)}  # by the kind of colour
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_MARKER: Final = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # of a segment
JPEG_EXIF: Final = re.compile(rb"\xff\xe1..(?=Exif\0\0)", re.DOTALL)
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
            turn = TURNS.get(_orientation(image, data))
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
    if data.startswith(JPEG_START):
        data = _without_exif(data)
        if JPEG_END not in data[-64:] and _has_all_scans(data) and _has_all_rows(data):
            return data + JPEG_END
    return data


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """The chunks that matter: texts, times and the like are passed over, whatever they hold."""
    start = len(PNG_SIGNATURE)
    depth = colours = 0
    while start < len(data):
        size = int.from_bytes(data[start : start + 4])
        name, chunk = data[start + 4 : start + 8], data[start : start + size + 12]
        if name == b"IHDR":
            depth, colours = chunk[16], chunk[17]
        is_critical = not name[:1].islower()
        if is_critical or (name in PNG_ANCILLARY and _is_sound(chunk)):
            yield chunk
        elif name == b"tRNS" and size in PNG_TRANSPARENT_BYTES.get(colours, ()):
            yield _in_8_bits(chunk, depth, colours)
        start += size + 12


def _in_8_bits(chunk: bytes, depth: int, colours: int) -> bytes:
    """The transparent colour as Pillow has the pixels, which it does not change with them."""
    if colours == 3 or depth in (1, 8):
        return chunk
    colour = struct.unpack(f">{len(chunk[8:-4]) // 2}H", chunk[8:-4])
    if depth < 8:
        scaled = [tone * 255 // (2**depth - 1) for tone in colour]
    else:
        scaled = [tone // 257 if colours == 0 else tone // 256 for tone in colour]
    named = b"tRNS" + struct.pack(f">{len(scaled)}H", *scaled)
    return chunk[:4] + named + struct.pack(">I", zlib.crc32(named))


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The segments of a JPEG, and where each starts; behind some of them are pixels."""
    start = len(JPEG_START)
    while found := JPEG_MARKER.search(data, start):
        start = found.start()
        if data[start : start + 2] == JPEG_END:
            return
        size = int.from_bytes(data[start + 2 : start + 4])
        yield start, data[start : start + 2 + size]
        start += 2 + size


def _without_exif(data: bytes) -> bytes:
    """A JPEG whose EXIF Pillow does not see: it gives up at a resolution that it cannot read."""
    kept, start = [], 0
    for at, segment in _segments(data):
        if JPEG_EXIF.match(segment):
            kept.append(data[start:at])
            start = at + len(segment)
    return b"".join([*kept, data[start:]])


def _has_all_scans(data: bytes) -> bool:
    """Whether each component has all its coefficients, to their last bits.

    Without its last scans a progressive picture is a coarse one.
    """
    wanted: set[tuple[int, int]] = set()
    found: set[tuple[int, int]] = set()
    for _, segment in _segments(data):
        if segment[1] in (0xC0, 0xC1, 0xC2):
            wanted = {(component, n) for component in segment[10::3] for n in range(64)}
        if segment[1] == 0xDA:
            first, last, bits = segment[-3:]
            if bits & 15 == 0:  # none are left to be refined
                found |= {(c, n) for c in segment[5:-3:2] for n in range(first, last + 1)}
    return wanted <= found


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


def _orientation(image: Image.Image, data: bytes) -> int:
    """As EXIF says, from 1 to 8; what cannot be understood is 1, upright."""
    try:
        exif = _exif(data) if data.startswith(JPEG_START) else image.getexif()
        return int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # whatever a program has written there, the picture can be read
        return 1


def _exif(jpeg: bytes) -> Image.Exif:
    exif = Image.Exif()
    for _, segment in _segments(jpeg):
        if found := JPEG_EXIF.match(segment):
            exif.load(segment[found.end() :])
            break
    return exif


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
