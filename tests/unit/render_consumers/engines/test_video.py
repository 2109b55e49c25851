import io
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from render_consumers.engines import video
from render_consumers.engines.motion import moving
from render_consumers.painting.painter import Stopped

SIZE = (64, 48)
TEAL, CORAL = (0, 128, 128), (240, 128, 100)


def sliding(frames):
    """A coral square that moves over teal, step by step."""
    for number in range(frames):
        picture = np.full((SIZE[1], SIZE[0], 3), TEAL, np.uint8)
        picture[16:32, number : number + 16] = CORAL
        yield picture


def decoded(data):
    with av.open(io.BytesIO(data), "r") as source:
        return [np.asarray(frame.to_image()).astype(int) for frame in source.decode(video=0)]


def boxes(data):
    """The names of the file's outermost parts, in their order."""
    names, at = [], 0
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4], "big")
    return names


@pytest.fixture(scope="module")
def slide():
    return video.encoded(sliding(30))


def test_a_video_is_h264_that_every_player_takes(slide):
    with av.open(io.BytesIO(slide), "r") as source:
        (stream,) = source.streams.video
        assert len(source.streams) == 1
        assert "mp4" in source.format.name
        assert stream.codec_context.name == "h264"
        assert stream.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == SIZE
        assert stream.average_rate == 24
        assert stream.frames == 30
        assert stream.duration is not None
        assert stream.time_base is not None
        assert stream.duration * stream.time_base == Fraction(30, 24)


def test_the_index_comes_before_the_pictures(slide):
    names = boxes(slide)
    assert names.index("moov") < names.index("mdat")


def test_the_colours_come_out_as_they_went_in(slide):
    first = decoded(slide)[0]
    assert np.abs(first[4, 60] - TEAL).max() < 8
    assert np.abs(first[24, 8] - CORAL).max() < 8


def test_every_picture_is_in_its_place(slide):
    frames = decoded(slide)
    assert len(frames) == 30
    assert np.abs(frames[29][24, 29 + 8] - CORAL).max() < 12
    assert np.abs(frames[29][24, 8] - TEAL).max() < 12


def test_the_same_pictures_give_the_same_bytes():
    photo = Image.effect_mandelbrot((192, 256), (-2, -1.5, 1, 1.5), 60).convert("RGB")
    pictures = list(moving(photo, 24))
    assert len({video.encoded(pictures) for _ in range(5)}) == 1


def test_an_upscaled_video_is_the_same_at_twice_the_size(slide):
    shares: list[float] = []
    larger = video.upscaled(slide, shares.append)
    with av.open(io.BytesIO(larger), "r") as source:
        (stream,) = source.streams.video
        assert len(source.streams) == 1
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (128, 96)
        assert stream.average_rate == 24
        assert stream.frames == 30
    assert boxes(larger).index("moov") < boxes(larger).index("mdat")
    for small, large in zip(decoded(slide), decoded(larger), strict=True):
        image = Image.fromarray(small.astype(np.uint8))
        wanted = np.asarray(image.resize((128, 96), Image.Resampling.LANCZOS)).astype(int)
        assert np.abs(large - wanted).mean() < 3
    assert shares == sorted(shares)
    assert len(shares) == 30


def test_upscaling_ends_when_nobody_wants_it(slide):
    def stop(share):
        if share > 0.5:
            raise Stopped

    with pytest.raises(Stopped):
        video.upscaled(slide, stop)


@pytest.mark.parametrize("data", [b"", b"no video", b"\0" * 5_000])
def test_what_is_no_video_is_refused(data):
    with pytest.raises(video.NotAVideo):
        video.upscaled(data, lambda share: None)


def test_a_video_without_a_picture_is_refused():
    with pytest.raises(video.NotAVideo):
        video.encoded([])


def test_the_first_picture_can_be_seen(slide):
    assert (video.first_picture(slide) == decoded(slide)[0]).all()
