import re
import types
import typing
from pathlib import Path

import msgspec
import pytest

from domain import account, garment, render
from domain.account import AccountDetailsUpdated, AccountInfoUpdated, VipGranted, VipWithdrawn
from domain.catalogue import CATALOGUE
from domain.events import Unreadable
from domain.garment import GarmentListed, GarmentRevised
from domain.measurements import Measurements
from domain.picture import ApparelDetails, ImageOptions, UserDetails, VideoOptions
from domain.render import RenderCompleted
from tests.support.scenario import (
    avatar_uploaded,
    cancelled,
    completed,
    erased,
    failed,
    garment_details,
    garment_fit,
    image_to_video_requested,
    registered,
    removed,
    requested,
    requeued,
    started,
    upscale_requested,
    video_requested,
    webhook_requested,
)
from tests.unit.domain.test_measurements import CONTRACT

GOLDEN = Path(__file__).parents[2] / "golden"
NAMES = sorted(CATALOGUE)

ADA = UserDetails(
    face_shape="long",
    skin_tone=3,
    pose="A-Pose",
    real_world_measurements=msgspec.convert(CONTRACT, Measurements),
    hairstyle="30",
    hair_color="6B4F30FF",
    camera_view="left",
    view_mode=1,
    expression="Smile",
    background_color_hex="FFE4DBFF",
    gender="Male",
)
HOODIE = ApparelDetails(brand="gymshark", item_id="Hoodie", color="Red", size="L", size2="M")
VIDEO = VideoOptions(
    video_live=True, duration=7, negative_prompt="rain", prompt="a slow turn in the sun", seed=42
)

# What the golden files say. Neither may ever change: a new version is a new file.
EXAMPLES = {
    "account.registered.v1": registered(),
    "account.info_updated.v1": AccountInfoUpdated(
        full_name="Ada King", date_of_birth=-4868208000, ethnicity="British", gender="Female"
    ),
    "account.details_updated.v1": AccountDetailsUpdated(
        face_shape="long",
        skin_tone=2,
        body_dimensions='{"Height": 180}',
        real_world_measurements="Bust=96.8; Größe=180",
        hair_style="30",
        hair_color="6B4F30FF",
    ),
    "account.avatar_uploaded.v1": avatar_uploaded(replaced=1738860000000),
    "account.vip_granted.v1": VipGranted(),
    "account.vip_withdrawn.v1": VipWithdrawn(),
    "account.erased.v1": erased(),
    "garment.listed.v1": GarmentListed(details=garment_details()),
    "garment.revised.v1": GarmentRevised(
        details=garment_details(
            url="https://example.com/4",
            render_mode="3D",
            colors=("Red",),
            colors_hex=("FF0000",),
            sizes=("One Size",),
        )
    ),
    "render.requested.v1": requested(
        user_details=ADA,
        apparel_details=HOODIE,
        image_options=ImageOptions(quality=100, thumbnail_width=256, fit_map=True),
        render_mode="2D_Kling",
        vip=True,
        limit=5,
    ),
    "render.video_requested.v1": video_requested(
        user_details=ADA,
        apparel_details=HOODIE,
        video_options=VIDEO,
        render_mode="2D_Kling",
        vip=True,
        limit=5,
    ),
    "render.upscale_requested.v1": upscale_requested(vip=True, limit=5),
    "render.image_to_video_requested.v1": image_to_video_requested(
        video_options=VIDEO, vip=True, limit=5
    ),
    "render.webhook_requested.v1": webhook_requested(),
    "render.cancelled.v1": cancelled(2),
    "render.started.v1": started(2, "host-1-abcdef"),
    "render.requeued.v1": requeued(
        2, reason="media_store_unavailable", counted=True, retry_after_seconds=4.5
    ),
    "render.completed.v1": completed(
        2,
        engine="atelier-local",
        ignored=("hairstyle", "brand"),
        measured={"Height": 179.5},
        fit=(garment_fit(),),
        silhouette=0.9712,
    ),
    "render.failed.v1": failed(3, code="attempts_exhausted", message="given up"),
    "render.file_removed.v1": removed("a.jpg", "33/gallery/a.jpg", "33/gallery/a_thumbnail.jpg"),
}


def golden(name):
    return (GOLDEN / f"{name}.json").read_bytes()


def test_every_event_is_in_the_catalogue_under_a_name_of_its_own():
    events = [*account.EVENTS, *render.EVENTS, *garment.EVENTS]
    assert set(CATALOGUE.values()) == set(events)
    assert len(CATALOGUE) == len(events)


def test_what_cannot_be_read_is_never_stored():
    assert Unreadable.stored_name not in CATALOGUE


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_name_tells_aggregate_fact_and_version(name):
    assert re.fullmatch(r"(account|render|garment)\.[a-z_]+\.v[1-9]\d*", name)
    assert CATALOGUE[name].stored_name == name


@pytest.mark.parametrize("name", NAMES)
def test_personal_fields_exist_and_may_be_none(name):
    hints = typing.get_type_hints(CATALOGUE[name])
    for field in CATALOGUE[name].personal:
        assert isinstance(hints[field], types.UnionType)
        assert type(None) in typing.get_args(hints[field])


def test_what_was_completed_before_fit_was_told_reads_with_none():
    members = msgspec.json.decode(golden("render.completed.v1"))
    del members["fit"]
    assert msgspec.convert(members, RenderCompleted).fit is None


def test_every_event_type_has_a_golden_file():
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_file_has_every_field_filled(name):
    members = msgspec.json.decode(golden(name))
    required = {f.encode_name for f in msgspec.structs.fields(CATALOGUE[name]) if f.required}
    assert required <= members.keys() <= set(CATALOGUE[name].__struct_encode_fields__)
    assert all(value not in (None, "", [], {}) for value in members.values())


@pytest.mark.parametrize("name", NAMES)
def test_old_bytes_decode_to_the_event_that_was_stored(name):
    assert msgspec.json.decode(golden(name), type=CATALOGUE[name]) == EXAMPLES[name]


@pytest.mark.parametrize("name", NAMES)
def test_an_event_is_stored_with_all_that_its_golden_file_has(name):
    stored = msgspec.json.decode(msgspec.json.encode(EXAMPLES[name]))
    assert stored == stored | msgspec.json.decode(golden(name))


@pytest.mark.parametrize("name", NAMES)
def test_members_that_a_reader_does_not_know_are_ignored(name):
    members = msgspec.json.decode(golden(name)) | {"of_a_later_build": {"x": [1]}}
    assert msgspec.convert(members, CATALOGUE[name]) == EXAMPLES[name]


@pytest.mark.parametrize("name", NAMES)
def test_an_event_of_somebody_erased_reads_with_none(name):
    kind = CATALOGUE[name]
    members = msgspec.json.decode(golden(name)) | dict.fromkeys(kind.personal)
    expected = msgspec.structs.replace(EXAMPLES[name], **dict.fromkeys(kind.personal))
    assert msgspec.convert(members, kind) == expected
