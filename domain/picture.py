"""What a picture shall show: the body, the garment and the options of one render."""

from typing import Annotated, Final, Literal

import msgspec

from domain.measurements import Measurements

LONGEST_GARMENT_NAME: Final = 200  # characters of a brand or a garment's name
Label = Annotated[str, msgspec.Meta(max_length=64)]
GarmentName = Annotated[str, msgspec.Meta(max_length=LONGEST_GARMENT_NAME)]
Prompt = Annotated[str, msgspec.Meta(max_length=2500)]
Colour = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^#?([0-9A-Fa-f]{6}|[0-9A-Fa-f]{8})$(?!\n)",  # $ alone lets a newline follow
        description="RRGGBB or RRGGBBAA, with or without #",
    ),
]
WebhookUrl = Annotated[
    str,
    msgspec.Meta(
        max_length=2048,
        description="an https address that is sent the task's end; the server names the hosts",
    ),
]
RenderMode = Literal["2D_Kling", "3D"]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A value object of the contract. It is stored in events, so its limits may only widen."""


class UserDetails(Value, frozen=True, kw_only=True):
    """How the person looks; a label that we cannot draw is drawn as the default, and reported."""

    face_shape: Label = "oval"
    skin_tone: Annotated[int, msgspec.Meta(ge=0, le=100)] = 2
    pose: Label = "I-Pose"
    real_world_measurements: Measurements = Measurements()
    hairstyle: Label = ""
    hair_color: Colour = "3B2A20FF"
    camera_view: Label = "front"
    view_mode: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    expression: Label = "Neutral"
    background_color_hex: Colour = "FFFFFFFF"
    gender: Label = "Female"


class ApparelDetails(Value, frozen=True, kw_only=True):
    """The garment that the person wears, as the client names it."""

    brand: GarmentName = ""
    item_id: GarmentName = ""
    color: Label = ""
    size: Label = ""
    size2: Label = ""


class ImageOptions(Value, frozen=True, kw_only=True):
    """JPEG ``quality`` from 1 to 100 and the thumbnail's width in pixels.

    With a ``fit_map`` the cloth is coloured by how far it is stretched.
    """

    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 90
    thumbnail_width: Annotated[int, msgspec.Meta(ge=16, le=1024)] = 128
    fit_map: bool = False


class VideoOptions(Value, frozen=True, kw_only=True):
    """How long the video is, in seconds, and what a generative engine is told."""

    video_live: bool = False
    duration: Annotated[int, msgspec.Meta(ge=1, le=60)] = 5
    negative_prompt: Prompt = ""
    prompt: Prompt = ""
    seed: Annotated[int, msgspec.Meta(ge=-1, le=2**32 - 1)] = 0


class TaskOptions(Value, frozen=True, kw_only=True):
    """The lane, how many unfinished tasks the user may have, this one included, and a webhook."""

    vip: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    webhook_url: WebhookUrl | None = None
