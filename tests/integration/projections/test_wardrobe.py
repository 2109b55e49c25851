import threading
from uuid import UUID

import pytest

from domain.garment import GarmentListed, GarmentRevised, garment_id
from infra.postgres import connect
from projections.reading import Behind, _statement
from projections.wardrobe import PAGES, PROJECTION, garment, next_cursor, page
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
            "place": position,
            "words": ["branda", "cloth1"],
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
    place = tell(story, LISTED)
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
            "place": place,
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
    tell(story, GarmentRevised(details=garment_details(name="a\x00")))  # no text of Postgres
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


# Pages.

NAMES = ("Blue Hoodie", "Hoodie", "Hood", "Rain-coat", "Ærmløs Trøje")


@pytest.fixture
def shelf(models, story):
    """Ten garments of two brands, the first one listed first."""
    for name in NAMES:
        for brand in ("BrandA", "Brand B"):
            listed = GarmentListed(details=garment_details(brand=brand, name=name))
            tell(story, listed, aggregate=garment_id(brand, name))
    models.catch_up(PROJECTION)
    return [(brand, name) for name in NAMES for brand in ("BrandA", "Brand B")][::-1]


def walk(models, limit, *, after_page=lambda found: None, **wanted):
    """All pages, one after the other."""

    async def walked(reader):
        pages, cursor = [], None
        while True:
            rows = (await page(reader, limit=limit, cursor=cursor, **wanted)).rows
            pages.append([(row.brand, row.name) for row in rows[:limit]])
            after_page(pages[-1])
            if (cursor := next_cursor(rows, limit)) is None:
                return pages

    return models.ask(walked)


@pytest.mark.parametrize("limit", [1, 3, 10, 11])
def test_pages_of_any_size_give_every_garment_once_newest_first(models, shelf, limit):
    pages = walk(models, limit)
    assert [each for found in pages for each in found] == shelf
    assert all(len(found) == limit for found in pages[:-1])


def test_garments_listed_or_revised_meanwhile_neither_hide_nor_repeat_others(models, story, shelf):
    def something_changes(_):
        details = garment_details(brand="BrandA", name=NAMES[0], sizes=())
        tell(story, GarmentRevised(details=details), aggregate=garment_id("BrandA", NAMES[0]))
        name = f"New {story.store.read(0, 500)[-1].position}"
        listed = GarmentListed(details=garment_details(name=name))
        tell(story, listed, aggregate=garment_id("BrandA", name))
        models.catch_up(PROJECTION)

    pages = walk(models, 3, after_page=something_changes)
    assert [each for found in pages for each in found] == shelf


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"brand": " branda"}, list(NAMES[::-1])),
        ({"brand": "brand"}, []),
        ({"text": "HOOD", "brand": "BrandA"}, ["Hood", "Hoodie", "Blue Hoodie"]),
        ({"text": "hoodie blu", "brand": "BrandA"}, ["Blue Hoodie"]),
        ({"text": "coat"}, ["Rain-coat", "Rain-coat"]),
        ({"text": "branda coat"}, ["Rain-coat"]),
        ({"text": "ærmløs", "brand": "BRAND B"}, ["Ærmløs Trøje"]),
        ({"text": "oodie"}, []),
        ({"text": "' | \\ hood:* & !"}, ["Hood", "Hood", "Hoodie", "Hoodie"] + ["Blue Hoodie"] * 2),
    ],
)
def test_a_brand_and_the_beginnings_of_words_are_found(models, shelf, wanted, found):
    assert [name for _, name in walk(models, 100, **wanted)[0]] == found


def test_no_page_is_found_by_looking_at_every_garment(models, shelf):
    with connect(models.url) as connection:
        connection.execute(FILL)
        connection.execute("ANALYZE atelier_wardrobe_g1")
        for names, question in PAGES.items():
            statement = _statement(question, True, frozenset(question.types))
            rows = connection.execute("EXPLAIN " + statement.sql, ASKED).fetchall()
            plan = "\n".join(line for (line,) in rows)
            assert "Seq Scan on atelier_wardrobe" not in plan, plan
            assert "words" in names or "Sort" not in plan, plan


ASKED = {
    "models": ["wardrobe"],
    "account": [None],
    "brand": ["brand 7"],
    "words": ["'cloth77':*"],
    "cursor": [10_000],
    "limit": [11],
}
FILL = """
INSERT INTO atelier_wardrobe_g1
SELECT gen_random_uuid(), url, brand, gender, 'Cloth ' || n, render_mode, colors, colors_hex, sizes,
       url_key, 'brand ' || n % 100, 'cloth ' || n, n, n, ARRAY['cloth' || n]
  FROM atelier_wardrobe_g1, generate_series(1, 2000) n"""
