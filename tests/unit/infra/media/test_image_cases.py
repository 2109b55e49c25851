"""Pictures as other programs write them, each of which stands for its kind."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from infra.media.images import DamagedImage, make_avatar

CASES = Path(__file__).parents[3] / "cases"
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def case(name: str) -> bytes:
    return (CASES / name).read_bytes()


def read(data: bytes) -> Any:
    return Image.open(io.BytesIO(make_avatar(data).picture))


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def near(colour, expected, by: int = 3) -> bool:
    return all(abs(one - other) <= by for one, other in zip(colour, expected, strict=True))


def test_greys_of_16_bits_keep_their_tones():
    ramp = [read(case("grey16.png")).getpixel((x, 16))[0] for x in range(64)]

    assert (ramp[0], ramp[63]) == (0, 255)
    assert all(abs(tone - x * 255 / 63) <= 2 for x, tone in enumerate(ramp))


def test_a_jpeg_without_its_end_marker_is_read():
    picture = read(case("jpeg-missing-EOI.jpg"))

    assert picture.size == (60, 40)
    assert near(picture.getpixel((2, 38)), RED)
    assert near(picture.getpixel((57, 38)), BLUE)


@pytest.mark.parametrize("cut", [2, 4, 10, 30, 100])
def test_a_jpeg_whose_rows_are_missing_stays_refused(cut):
    with pytest.raises(DamagedImage):
        make_avatar(case("jpeg-missing-EOI.jpg")[:-cut])


@pytest.mark.parametrize("options", [{"progressive": True}, {"quality": 95}, {"subsampling": 0}])
def test_any_jpeg_is_read_without_its_end_and_refused_without_half(options):
    noise = Image.effect_noise((120, 90), 80).convert("RGB")
    whole = saved(noise, "JPEG", **options)

    assert read(whole[:-2]).tobytes() == read(whole).tobytes()
    with pytest.raises(DamagedImage):
        make_avatar(whole[: len(whole) // 2])


def test_an_orientation_of_an_odd_type_turns_the_picture():
    picture = read(case("jpeg-o6-negative-short.jpg"))

    assert picture.size == (40, 60)
    assert near(picture.getpixel((20, 2)), RED)
    assert near(picture.getpixel((20, 57)), BLUE)


@pytest.mark.parametrize("content", [b"", b"II*\0\xff\xff\xff\xff", b"\7" * 90])
def test_exif_that_cannot_be_understood_is_none(content):
    exif = b"Exif\0\0" + content

    assert read(saved(Image.new("RGB", (6, 4), RED), "JPEG", exif=exif)).size == (6, 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_does(orientation):
    image = Image.new("RGB", (64, 32), RED)
    image.paste(GREEN, (32, 0, 64, 16))
    image.paste(BLUE, (0, 16, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[orientation]
    expected = image if turned is None else image.transpose(Image.Transpose(turned))

    assert read(saved(image, "PNG", exif=exif)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["png-bad-crc-in-tEXt.png", "png-iTXt-2MB-compressed.png"])
def test_what_a_png_says_beside_its_pixels_is_passed_over(name):
    picture = read(case(name))

    assert near(picture.getpixel((2, 8)), RED)
    assert near(picture.getpixel((17, 8)), GREEN)


def test_a_text_behind_the_pixels_is_passed_over():
    whole = saved(Image.new("RGB", (6, 4), RED), "PNG")
    end = whole.index(b"IEND") - 4
    text = chunk(b"tEXt", b"Comment\0" + b"x" * 90)

    assert read(whole[:end] + text + whole[end:]).getpixel((0, 0)) == RED


def test_a_profile_counts_beside_transparency_too():
    colour = read(case("png-rgba-with-display-p3-profile.png")).getpixel((15, 15))

    assert near(colour, (218, 67, 47, 255), by=2)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1"])
def test_every_mode_is_read_with_a_profile_and_with_one_of_no_use(mode):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGBA", (8, 8), (255, 255, 255, 255)).convert(mode)

    for profile in (srgb, b"no profile"):
        shown = read(saved(image, "PNG", icc_profile=profile)).getpixel((4, 4))
        assert near(shown[:3], (255, 255, 255))
