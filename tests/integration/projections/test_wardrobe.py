import threading
from uuid import UUID

import pytest

from domain.garment import GarmentListed, GarmentRevised, garment_id
from projections.reading import Behind
from projections.wardrobe import PROJECTION, garment
from tests.support.scenario import TASK, garment_details, requested

CLOTH = garment_id("BrandA", "Cloth1")
LISTED = GarmentListed(details=garment_details())


def tell(story, *events, aggregate: UUID = CLOTH) -> int:
    return story.tell(aggregate, *events, account=None)


def test_a_listed_garment_is_in_the_wardrobe(given, models, story):
    position = tell(story, LISTED)
    given().then(
        PROJECTION,
        {
            "garment": CLOTH,
            "url": "https://example.com/1",
            "brand": "BrandA",
            "gender": "Male",
            "name": "Cloth1",
            "render_mode": "2D_Kling",
            "colors": ["Red", "Blue", "Green"],
            "colors_hex": ["#FF0000", "#0000FF", "#008000"],
            "sizes": ["S", "M", "L"],
            "url_key": "https://example.com/1",
            "brand_key": "branda",
            "name_key": "cloth1",
            "position": position,
        },
    )


def test_a_revised_garment_is_as_it_is_now(given, story):
    other = garment_details(
        url="https://example.com/9",
        brand="BRANDA",
        gender="Female",
        name="CLOTH1",
        render_mode="3D",
        colors=("Pink",),
        colors_hex=("#FFC0CB",),
        sizes=(),
    )
    tell(story, LISTED)
    position = tell(story, GarmentRevised(details=other))
    given().then(
        PROJECTION,
        {
            "garment": CLOTH,
            "url": "https://example.com/9",
            "brand": "BRANDA",
            "gender": "Female",
            "name": "CLOTH1",
            "render_mode": "3D",
            "colors": ["Pink"],
            "colors_hex": ["#FFC0CB"],
            "sizes": [],
            "url_key": "https://example.com/9",
            "position": position,
        },
    )


def test_what_it_has_no_use_for_still_moves_it_on(given):
    given(requested()).then(PROJECTION)


def test_names_that_grow_when_they_are_compared_are_no_trouble(given, story):
    long = garment_details(url="https://example.com/" + "ﷺ" * 2000, name="ﷺ" * 200)
    tell(story, GarmentListed(details=long))
    given().then(PROJECTION, {"garment": CLOTH})


def test_an_answer_waits_for_the_newest_garment(models, story):
    models.catch_up()
    tell(story, LISTED)
    late = threading.Timer(0.4, models.catch_up)
    late.start()
    answer = models.ask(garment, name=" CLOTH1")
    late.join()
    assert [row.name for row in answer.rows] == ["Cloth1"]


def test_nobody_is_answered_with_a_garment_as_it_was(models, story):
    tell(story, LISTED)
    models.catch_up()
    tell(story, GarmentRevised(details=garment_details(sizes=())))
    with pytest.raises(Behind):
        models.ask(garment, name="Cloth1")


def test_events_of_accounts_are_not_waited_for(models, story):
    tell(story, LISTED)
    models.catch_up()
    story.request()
    assert len(models.ask(garment, brand="branda").rows) == 1


def test_a_parked_garment_is_told_to_those_who_ask_for_garments(models, story):
    tell(story, LISTED)
    tell(story, LISTED)  # its row is there already, so the second violates the primary key
    models.catch_up()
    assert models.ask(garment, name="Cloth1").parked
    assert models.parked(PROJECTION) == [3]


def test_whatever_is_given_must_match(models, story):
    other = garment_details(name="Cloth2", url="https://example.com/2")
    tell(story, LISTED)
    tell(story, GarmentListed(details=other), aggregate=TASK)
    models.catch_up()

    def found(**wanted):
        return [row.name for row in models.ask(garment, **wanted).rows]

    assert found(url="HTTPS://example.com/1 ") == ["Cloth1"]
    assert found(brand="branda", name="cloth2") == ["Cloth2"]
    assert found(brand="branda") == ["Cloth2"]
    assert found(url="https://example.com/1", name="cloth2") == []


def test_the_newest_garment_is_found_by_its_index(models, story):
    plan = models.ask_database(
        "EXPLAIN SELECT max(position) FROM atelier_events e WHERE e.account IS NULL"
    )
    assert any("atelier_events_of_nobody" in row["QUERY PLAN"] for row in plan)
