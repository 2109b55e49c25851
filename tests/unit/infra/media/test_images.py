import io
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageCms
from pillow_heif import register_heif_opener

from infra.media.images import (
    LARGEST_SIDE,
    MOST_PIXELS,
    THUMBNAIL_SIDE,
    DamagedImage,
    ImageTooLarge,
    NotAnImage,
    make_avatar,
    upright,
)

KINDS = ["JPEG", "PNG", "WEBP", "HEIF"]
SECRET = b"48.8584 N 2.2945 E"


def picture(kind: str, width: int = 64, height: int = 48, **options) -> bytes:
    """Red on the left, blue on the right."""
    register_heif_opener()
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    if kind == "HEIF":
        options["enc_params"] = {"preset": "ultrafast"}
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def is_like(colour, expected) -> bool:
    return all(abs(a - b) < 60 for a, b in zip(colour, expected, strict=True))


RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_becomes_a_png_with_a_jpeg_beside_it(kind: str):
    avatar = make_avatar(picture(kind))
    large, small = opened(avatar.picture), opened(avatar.thumbnail)
    assert (large.format, large.size) == ("PNG", (64, 48))
    assert (small.format, small.size) == ("JPEG", (64, 48))
    for image in (large, small):
        assert is_like(image.getpixel((8, 24)), RED)
        assert is_like(image.getpixel((56, 24)), BLUE)


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    data[0x010E] = SECRET.decode()
    return data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_turned_upright_by_its_orientation(kind: str):
    avatar = make_avatar(picture(kind, exif=exif(6)))  # shot with the camera turned: 90° clockwise
    large = opened(avatar.picture)
    assert large.size == (48, 64)
    assert is_like(large.getpixel((24, 8)), RED)
    assert is_like(large.getpixel((24, 56)), BLUE)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_the_pixels_is_kept(kind: str):
    data = picture(kind, exif=exif(1).tobytes())
    assert SECRET in data
    avatar = make_avatar(data)
    for kept in avatar:
        assert SECRET not in kept
        image = opened(kept)
        assert not image.getexif()
        assert not image.info.keys() & {"exif", "icc_profile", "xmp", "comment"}


def test_text_and_time_of_a_png_are_not_kept():
    chunk = b"tEXtComment\x00" + SECRET
    data = picture("PNG")
    extra = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    avatar = make_avatar(data[:33] + extra + data[33:])
    assert all(SECRET not in kept for kept in avatar)


def test_a_colour_profile_is_applied_and_dropped():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    make_avatar(picture("PNG", icc_profile=profile))  # of no use for RGB: passed over
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    avatar = make_avatar(picture("PNG", icc_profile=srgb))
    assert is_like(opened(avatar.picture).getpixel((8, 24)), RED)
    assert "icc_profile" not in opened(avatar.picture).info


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_mode_of_a_png_can_be_read(mode: str):
    buffer = io.BytesIO()
    Image.new(mode, (20, 10)).save(buffer, "PNG")
    assert opened(make_avatar(buffer.getvalue()).picture).mode in ("RGB", "RGBA")


def test_cmyk_becomes_rgb():
    buffer = io.BytesIO()
    Image.new("CMYK", (20, 10)).save(buffer, "JPEG")
    assert opened(make_avatar(buffer.getvalue()).picture).mode == "RGB"


def test_what_is_transparent_stays_so_and_is_white_in_the_thumbnail():
    buffer = io.BytesIO()
    Image.new("RGBA", (20, 10), (0, 0, 0, 0)).save(buffer, "PNG")
    avatar = make_avatar(buffer.getvalue())
    assert opened(avatar.picture).getpixel((5, 5)) == (0, 0, 0, 0)
    assert opened(avatar.thumbnail).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_picture_is_made_smaller(kind: str):
    avatar = make_avatar(picture(kind, 3000, 300))
    assert opened(avatar.picture).size == (LARGEST_SIDE, 205)
    assert opened(avatar.thumbnail).width == THUMBNAIL_SIDE


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_pixels_are_refused(kind: str):
    side = 5_008
    assert side * side > MOST_PIXELS
    with pytest.raises(ImageTooLarge):
        make_avatar(picture(kind, side, side))


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [6_000, 10_000, 60_000, 2**31 - 1])
def test_a_bomb_is_refused_by_its_header(side: int):
    with pytest.raises(ImageTooLarge):
        make_avatar(png_that_claims(side, side))


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_is_cut_off_is_refused(kind: str):
    data = picture(kind, 200, 200)
    for share in (0.02, 0.2, 0.5, 0.9):
        with pytest.raises((DamagedImage, NotAnImage)):
            make_avatar(data[: int(len(data) * share)])


def test_what_is_no_picture_is_told_apart():
    for data in (
        b"",
        b"x",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ):
        with pytest.raises(NotAnImage):
            make_avatar(data)
    for kind in ("GIF", "TIFF", "BMP"):
        with pytest.raises(NotAnImage):
            make_avatar(picture(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_damage_anywhere_does_no_worse_than_being_refused(kind: str):
    chance = random.Random(7)
    good = picture(kind, 40, 30, exif=exif(3).tobytes())
    for _ in range(150):
        data = bytearray(good)
        for _ in range(chance.choice([1, 3, 20])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            make_avatar(bytes(data))
        except (DamagedImage, NotAnImage, ImageTooLarge):
            continue


MEASURE = """
import re, sys
from PIL import Image
from pillow_heif import register_heif_opener
from infra.media.images import make_avatar

def most():  # MiB; getrusage would tell what the parent process once had
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024

data = open(sys.argv[1], "rb").read()
register_heif_opener()
before = most()
make_avatar(data)
print(most() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells it")
@pytest.mark.parametrize("kind", [*KINDS, "progressive", "alpha"])
def test_the_largest_pictures_stay_within_the_memory_that_is_told(kind: str, tmp_path):
    path = tmp_path / "largest"
    if kind == "progressive":
        path.write_bytes(picture("JPEG", 5_000, 5_000, progressive=True, subsampling=0))
    elif kind == "alpha":
        Image.new("RGBA", (5_000, 5_000), (9, 9, 9, 9)).save(path, "PNG", compress_level=1)
    else:
        path.write_bytes(picture(kind, 5_000, 5_000))
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) < 450  # MiB


def test_an_upright_picture_lies_over_white_and_carries_nothing_else():
    image = Image.new("RGBA", (64, 48), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (32, 0, 64, 48))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif(6))
    turned = opened(upright(buffer.getvalue()))
    assert (turned.format, turned.mode, turned.size) == ("PNG", "RGB", (48, 64))
    assert (turned.getpixel((24, 8)), turned.getpixel((24, 56))) == ((255, 255, 255), BLUE)
    assert not turned.getexif()


def test_an_upright_picture_is_refused_as_an_avatar_is():
    with pytest.raises(NotAnImage):
        upright(b"no picture")
