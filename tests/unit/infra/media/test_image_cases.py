"""Pictures as other programs write them, each of which stands for its kind."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from infra.media.images import DamagedImage, NotAnImage, make_avatar

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


def png(depth: int, colours: int, row: bytes, *chunks: bytes) -> bytes:
    """Two pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, depth, colours, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("depth", "colours", "row", "transparent"),
    [
        (1, 0, b"\x80", (1,)),
        (1, 0, b"\x40", (0,)),
        (2, 0, b"\xb0", (2,)),
        (4, 0, b"\x8f", (8,)),
        (8, 0, b"\x80\xff", (0x80,)),
        (16, 0, b"\x80\x00\xff\xff", (0x8000,)),
        (16, 0, b"\xff\xff\x80\x00", (0xFFFF,)),
        (8, 2, b"\x80\x10\x20\xff\xff\xff", (0x80, 0x10, 0x20)),
        (16, 2, b"\x12\x34\x56\x78\x9a\xbc" + b"\xff" * 6, (0x1234, 0x5678, 0x9ABC)),
    ],
)
def test_a_transparent_colour_is_so_at_every_depth(depth, colours, row, transparent):
    named = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
    picture = read(png(depth, colours, row, named))

    assert [picture.getpixel((x, 0))[3] for x in (0, 1)] == [0, 255]


@pytest.mark.parametrize("colours", [2, 6])
def test_a_transparent_colour_that_makes_no_sense_is_passed_over(colours):
    pixels = b"\xff\x00\x00" + b"\xff" * (colours == 6)
    picture = read(png(8, colours, pixels * 2, chunk(b"tRNS", b"\0\0")))

    assert picture.getpixel((0, 0))[:3] == RED


def without_jfif(jpeg: bytes) -> bytes:
    """As cameras write it: EXIF comes first."""
    return jpeg[:2] + jpeg[4 + int.from_bytes(jpeg[4:6]) :]


@pytest.mark.parametrize("kind", [1, 2, 3, 5, 7, 10, 11, 12])
def test_a_resolution_of_any_type_is_passed_over_and_the_orientation_is_not(kind):
    tags = [
        struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0),
        struct.pack("<HHI4s", 0x011A, kind, 1, b"72\0\0"),
        struct.pack("<HHI4s", 0x0128, kind, 1, b"2\0\0\0"),
    ]
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 3) + b"".join(tags) + b"\0" * 4

    assert read(without_jfif(saved(Image.new("RGB", (6, 4)), "JPEG", exif=exif))).size == (4, 6)


@pytest.mark.parametrize("number", range(1, 10))
def test_a_progressive_jpeg_that_ends_after_one_of_its_scans_is_refused(number):
    noise = Image.effect_noise((60, 45), 80).convert("RGB")
    whole = saved(noise, "JPEG", progressive=True)
    scans = [at for at in range(len(whole)) if whole.startswith(b"\xff\xda", at)]

    with pytest.raises(DamagedImage):
        make_avatar(whole[: scans[number]])


def animated(kind: str) -> bytes:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE))
    return saved(first, kind, save_all=True, append_images=[second], lossless=True)


HALF = Image.new("RGB", (8, 8), RED)
HALF.paste(BLUE, (4, 0, 8, 8))
PALETTE = chunk(b"PLTE", b"\xff\0\0\0\0\xff")


@pytest.mark.parametrize(
    ("data", "first", "last"),
    [
        (saved(HALF, "PNG") + b"\0" * 50, RED, BLUE),
        (saved(HALF, "PNG")[:-12], RED, BLUE),  # no IEND
        (b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", b"P\0 \2") + saved(HALF, "PNG")[8:], RED, BLUE),
        (saved(Image.new("RGB", (1, 1), RED), "PNG"), RED, RED),
        (saved(Image.new("RGB", (16_384, 1), RED), "PNG"), RED, RED),
        (png(8, 3, b"\0\1", PALETTE, chunk(b"tRNS", b"\x40")), (*RED, 64), (*BLUE, 255)),
        (png(1, 3, b"\x40", PALETTE), RED, BLUE),
        (png(16, 6, b"\x80\0" * 4 + b"\xff" * 8), (128,) * 4, (255,) * 4),
        (png(16, 4, b"\x80\0" * 2 + b"\xff" * 4), (128,) * 4, (255,) * 4),
        (animated("PNG"), RED, RED),
        (animated("WEBP"), RED, RED),
        (saved(Image.new("RGBA", (4, 4), (*RED, 128)), "WEBP", lossless=True), (*RED, 128), None),
        (saved(Image.new("RGB", (1, 1), RED), "JPEG"), RED, RED),
        (saved(Image.new("L", (9, 9), 128), "JPEG"), (128,) * 3, (128,) * 3),
        (saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), RED, RED),
        (saved(HALF, "JPEG", keep_rgb=True, quality=95), RED, BLUE),
        (saved(HALF.resize((64, 64)), "JPEG", restart_marker_blocks=1), RED, BLUE),
        (saved(HALF.resize((64, 64)), "JPEG")[:-2] + b"\0" * 4096, RED, BLUE),
        (saved(HALF.resize((64, 64)), "JPEG") + b"junk" * 1000, RED, BLUE),
        (saved(HALF.resize((64, 64)), "JPEG") + saved(Image.new("L", (9, 9)), "JPEG"), RED, BLUE),
        (saved(Image.new("RGB", (8, 8), RED), "JPEG", icc_profile=b"x" * 70_000), RED, RED),
    ],
    ids=[
        *("more behind a PNG", "PNG without end", "iPhone's PNG", "one pixel", "very wide"),
        *("palette with alpha", "palette of 1 bit", "RGBA of 16 bits", "LA of 16 bits"),
        *("animated PNG", "animated WebP", "WebP with alpha", "JPEG of a pixel", "grey JPEG"),
        *("CMYK", "JPEG in RGB", "restart markers", "zeros for the end", "more behind a JPEG"),
        *("two JPEGs", "a large profile of no use"),
    ],
)
def test_what_other_programs_write_is_shown_as_it_is(data, first, last):
    picture = read(data)

    assert near(picture.getpixel((0, 0)), first)
    assert last is None or near(picture.getpixel((picture.width - 1, picture.height - 1)), last)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "ICO"])
def test_other_kinds_are_refused_by_the_names_of_those_that_are_taken(kind):
    with pytest.raises(NotAnImage, match="JPEG, PNG, WebP or HEIC"):
        make_avatar(saved(HALF, kind))
