"""Videos as H.264 in MP4, whose index comes first so that they play while still being fetched."""

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream

FRAMES_PER_SECOND: Final = 24
MP4: Final = "video/mp4"
# The same pictures give the same bytes: x264's faster ways round differently from run to run, and
# another number of threads gives other bytes.
X264: Final = {
    "preset": "veryfast",
    "crf": "19",
    "threads": "2",
    "x264-params": "cpu-independent=1",
}
BT709: Final = 1  # the number of these primaries and this transfer in ITU-T H.273
FACTOR: Final = 2

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)


class NotAVideo(Exception):
    """The bytes hold no video that can be decoded."""


def encoded(pictures: Iterable[Pixels]) -> bytes:
    """The pictures, all of one even size, as a video of 24 a second."""
    frames = (VideoFrame.from_ndarray(picture, format="rgb24") for picture in pictures)
    return _written(map(_in_video_colours, frames), Fraction(FRAMES_PER_SECOND))


def upscaled(video: bytes, on_frame: Callable[[float], None]) -> bytes:
    """The video at twice its size, one frame in memory at a time.

    ``on_frame`` is told the share that is done, and may raise to end it.
    """
    try:
        with av.open(io.BytesIO(video), "r") as source:
            stream = source.streams.video[0]
            rate = stream.average_rate or Fraction(FRAMES_PER_SECOND)
            total = max(1, stream.frames)

            def larger() -> Iterator[VideoFrame]:
                for number, frame in enumerate(source.decode(stream)):
                    on_frame(min(1.0, number / total))
                    yield frame.reformat(
                        FACTOR * frame.width,
                        FACTOR * frame.height,
                        format="yuv420p",
                        interpolation=Interpolation.LANCZOS,
                    )

            return _written(larger(), rate)
    except (av.error.InvalidDataError, IndexError) as error:
        raise NotAVideo("the bytes are no video") from error


def first_picture(video: bytes) -> Pixels:
    """What the video shows first."""
    with av.open(io.BytesIO(video), "r") as source:
        frame = next(source.decode(video=0))
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _in_video_colours(frame: VideoFrame) -> VideoFrame:
    return frame.reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.BICUBIC,
    )


def _written(frames: Iterator[VideoFrame], rate: Fraction) -> bytes:
    """The frames (yuv420p) as an MP4; it is put in order on disk, since its index is moved last."""
    with tempfile.TemporaryDirectory(prefix="atelier-video-") as folder:
        path = Path(folder) / "video.mp4"
        with av.open(path, "w", format="mp4", options={"movflags": "faststart"}) as target:
            stream: VideoStream | None = None
            for number, frame in enumerate(frames):
                stream = stream or _stream(target, frame, rate)
                frame.pts, frame.time_base = number, 1 / rate
                frame.pict_type = (
                    PictureType.NONE
                )  # the encoder decides anew which frames are whole
                target.mux(stream.encode(frame))
            if stream is None:
                raise NotAVideo("there is no frame")
            target.mux(stream.encode())
        return path.read_bytes()


def _stream(target: OutputContainer, frame: VideoFrame, rate: Fraction) -> VideoStream:
    stream = target.add_stream("libx264", rate=rate, options=dict(X264))
    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
    codec = stream.codec_context
    codec.colorspace = Colorspace.ITU709
    codec.color_range = ColorRange.MPEG
    codec.color_primaries = codec.color_trc = BT709
    return stream
