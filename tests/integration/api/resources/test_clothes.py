import io
import random
import secrets
from collections.abc import Iterator
from urllib.parse import urlencode
from uuid import UUID

import msgspec
import pytest
from litestar.testing import TestClient

import commands
from api.app import create_app
from api.resources import clothes
from domain.garment import GarmentListed, GarmentRevised, WornGarment, garment_id
from domain.render import RenderRequested
from infra.log.event_store import EventStore
from infra.settings import Settings
from tests.integration.api.conftest import Client
from tests.support.workbooks import CONTRACT, HEADER, repacked, row, xls, xlsx

MAKERS = pytest.mark.parametrize("make", [xlsx, xls])
NOBODYS = {"url": "", "brand": "", "name": ""}


def upload(client: Client, data: bytes, query: str = "", **headers: str):
    return client.http.post(f"/upload_clothes{query}", content=data, headers=headers)


def numbers(answer) -> tuple[int, int, int]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return body["listed"], body["revised"], body["unchanged"]


def worn_by(client: Client, store: EventStore, **apparel: str):
    """What the request's event says of the garment."""
    answer = client.post("/generate", {"apparel_details": apparel})
    assert answer.status_code == 200, answer.text
    event = store.load(UUID(answer.json()["task_id"]))[0].event
    assert isinstance(event, RenderRequested)
    return event.garment


def find(client: Client, **wanted: str):
    return client.post("/get_clothes", NOBODYS | wanted)


@pytest.fixture(scope="module")
def shared(shared: Settings) -> Settings:
    """As for other tests, but uploads are not counted: that has tests of its own."""
    return msgspec.structs.replace(shared, upload_limit=1_000_000)


@pytest.fixture
def brand() -> str:
    """A brand that no other test uses."""
    return f"Brand {secrets.token_hex(6)}"


@pytest.fixture
def locked(migrated: Settings) -> Iterator[Client]:
    """Nobody yet, on a server whose catalogue has a key."""
    settings = msgspec.structs.replace(migrated, catalog_key="gehéim")
    with TestClient(create_app(settings), raise_server_exceptions=False) as http:
        yield Client(http)


@MAKERS
def test_the_contracts_own_sheet_is_taken_and_found(client: Client, make):
    assert upload(client, make(CONTRACT)).status_code == 200
    answer = client.post(
        "/get_clothes", {"url": "https://example.com/1", "brand": "", "name": "cloth1"}
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "gender": "Male",
        "colors": ["Red", "Blue", "Green"],
        "sizes": ["S", "M", "L"],
        "name": "Cloth1",
        "render_mode": "2D_Kling",
        "brand": "BrandA",
        "colors_hex": ["#FF0000", "#0000FF", "#008000"],
    }


def test_a_file_may_come_in_a_form(client: Client, brand: str):
    files = {"file": ("clothes.xlsx", xlsx([row(brand=brand)]), "application/octet-stream")}
    assert numbers(client.http.post("/upload_clothes", files=files)) == (1, 0, 0)


def test_columns_are_found_by_their_names_in_any_order(client: Client, brand: str):
    header = [*reversed(HEADER), "Remarks"]
    header[header.index("Render Mode")] = " render_mode "
    cells = [*reversed(row(brand=brand, name="Hat")), "ask first"]
    assert numbers(upload(client, xlsx([cells], header))) == (1, 0, 0)
    assert find(client, brand=brand, name="hat").json()["sizes"] == ["S", "M", "L"]


def test_blanks_around_anything_are_left_out(client: Client, brand: str):
    padded = row(brand=f"  {brand} ", name=" Hat", colors_hex="#FF0000 , #0000FF,#008000 ")
    upload(client, xlsx([padded]))
    found = find(client, brand=f" {brand.upper()}", name="hAT  ").json()
    assert (found["brand"], found["name"]) == (brand, "Hat")
    assert found["colors_hex"] == ["#FF0000", "#0000FF", "#008000"]


def test_everything_that_is_asked_for_must_match(client: Client, brand: str):
    url = f"https://example.com/{secrets.token_hex(6)}"
    upload(client, xlsx([row(url=url, brand=brand, name="Hat")]))
    assert find(client, url=url.upper()).status_code == 200
    assert find(client, url=url, brand=brand, name="Hat").status_code == 200
    assert find(client, url=url, name="Coat").status_code == 404
    assert find(client, brand=brand, name="Coat").status_code == 404


def test_to_ask_for_nothing_is_invalid(client: Client):
    assert find(client, brand="  ").status_code == 422
    assert client.post("/get_clothes", {}).status_code == 422


def test_of_two_garments_at_one_address_the_newer_is_found(client: Client, brand: str):
    url = f"https://example.com/{secrets.token_hex(6)}"
    upload(client, xlsx([row(url=url, brand=brand, name="Old"), row(url=url, brand=brand)]))
    upload(client, xlsx([row(url=url, brand=brand, name="Old", sizes="XL")]))
    assert find(client, url=url).json()["name"] == "Old"


def test_unchanged_rows_add_no_event(client: Client, store: EventStore, brand: str):
    first = [row(brand=brand, name="Hat"), row(brand=brand, name="Coat")]
    assert numbers(upload(client, xlsx(first))) == (2, 0, 0)
    again = upload(client, xls(first))
    assert numbers(again) == (0, 0, 2)
    changed = [row(brand=brand, name="HAT", sizes="XL"), first[1], row(brand=brand, name="Shoe")]
    assert numbers(upload(client, xlsx(changed))) == (1, 1, 1)
    events = [type(each.event) for each in store.load(garment_id(brand, "Hat"))]
    assert events == [GarmentListed, GarmentRevised]
    assert int(again.headers["X-Event-Position"]) > 0


def test_a_dry_run_only_reports(client: Client, store: EventStore, brand: str):
    upload(client, xlsx([row(brand=brand, name="Hat")]))
    data = xlsx([row(brand=brand, name="Hat", sizes="XL"), row(brand=brand, name="Coat")])
    answer = upload(client, data, "?dry_run=true")
    assert numbers(answer) == (1, 1, 0)
    assert answer.json()["dry_run"] is True
    assert store.load(garment_id(brand, "Coat")) == []
    assert numbers(upload(client, data)) == (1, 1, 0)


@MAKERS
@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_every_bad_cell_is_told_and_nothing_stored(
    client: Client, store: EventStore, brand: str, make, query
):
    rows = [
        row(brand=brand, name="Hat"),
        row(brand=brand, name="x" * 201, url="ftp://example.com", gender=""),
        (),
        row(brand=" ", render_mode="4D", colors="Red,Blue", colors_hex="red", sizes=","),
        row(brand=brand, name="Shoe", colors_hex="#FF0000"),
        row(brand=brand.upper(), name="hat"),
    ]
    answer = upload(client, make(rows), query)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"
    assert [each["field"] for each in answer.json()["details"]] == [
        "row 3, column A (URL)",
        "row 3, column C (Gender)",
        "row 3, column D (Name)",
        "row 5, column B (Brand)",
        "row 5, column E (Render Mode)",
        "row 5, column G (Colors Hex)",
        "row 5, column H (Sizes)",
        "row 6, column G (Colors Hex)",
        "row 7, column D (Name)",
    ]
    assert store.load(garment_id(brand, "Hat")) == []


def test_a_formula_is_told_by_row_and_column(client: Client, brand: str):
    answer = upload(client, xlsx([row(brand=brand, name='=CONCAT("a")')]))
    assert answer.status_code == 422
    assert answer.json()["details"] == [
        {"field": "row 2, column D (Name)", "message": "must be a value, not a formula"}
    ]


def test_columns_that_lack_or_are_there_twice_are_told(client: Client):
    header = ["URL", "Brand", "brand ", *HEADER[2:-1]]
    answer = upload(client, xlsx([], header))
    assert answer.status_code == 422
    messages = [each["message"] for each in answer.json()["details"]]
    assert messages == ["has more than one column Brand", "has no column Sizes"]


@pytest.mark.parametrize("header", [HEADER, ()])
def test_a_sheet_without_garments_is_refused(client: Client, header):
    assert upload(client, xlsx([], header)).status_code == 422


def test_a_garment_that_stands_twice_with_the_same_is_one(client: Client, brand: str):
    assert numbers(upload(client, xlsx([row(brand=brand)] * 2))) == (1, 0, 0)


def test_ten_thousand_rows_are_taken_and_completed_after_a_crash(
    client: Client, brand: str, monkeypatch: pytest.MonkeyPatch
):
    data = xlsx(row(brand=brand, name=f"Cloth {n}", sizes=n) for n in range(10_000))
    calls = []

    def crash_in_the_third_save(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise RuntimeError("power cut")
        return commands.execute_all(*arguments)

    monkeypatch.setattr(clothes, "execute_all", crash_in_the_third_save)
    assert upload(client, data).status_code == 500
    monkeypatch.undo()
    assert numbers(upload(client, data)) == (9_000, 0, 1_000)
    assert numbers(upload(client, data)) == (0, 0, 10_000)
    eventually_there = find(client, brand=brand, name="Cloth 9999")
    while eventually_there.status_code == 503:
        eventually_there = find(client, brand=brand, name="Cloth 9999")
    assert eventually_there.json()["sizes"] == ["9999"]


def test_an_answer_is_never_behind_what_was_uploaded(alone: Client):
    assert find(alone, name="Hat").status_code == 404
    assert upload(alone, xlsx([row(name="Hat")])).status_code == 200
    answer = find(alone, name="Hat")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({}, 401),
        ({"X-Catalog-Key": "other"}, 401),
        ({"Authorization": "gehéim"}, 401),
        ({"X-Catalog-Key": "gehéim"}, 200),
        ({"Authorization": "Bearer gehéim"}, 200),
    ],
)
def test_a_catalogue_with_a_key_is_changed_by_its_holder_only(locked: Client, header, status):
    raw = [(name.encode(), value.encode()) for name, value in header.items()]
    answer = locked.http.post("/upload_clothes", content=xlsx(CONTRACT), headers=raw)
    assert answer.status_code == status
    assert find(locked, name="Nothing").status_code in (404, 503)


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda: b"", 400),
        (lambda: b"{}", 415),
        (lambda: b"\x89PNG\r\n\x1a\n", 415),
        (lambda: xlsx(CONTRACT)[:-100], 422),
        (lambda: xls(CONTRACT)[:-1024], 422),
        (lambda: repacked(xlsx(CONTRACT), extra={"xl/vbaProject.bin": b""}), 415),
        (lambda: repacked(xlsx(CONTRACT), extra={"xl/theme.xml": bytes(50 * 2**20)}), 413),
        (lambda: xlsx([["x"]] * 20_001), 413),
        (lambda: bytes(9 * 2**20), 413),
    ],
    ids=["none", "json", "png", "xlsx cut", "xls cut", "macros", "bomb", "rows", "bytes"],
)
def test_what_is_no_catalogue_is_refused_clearly(client: Client, make, status):
    answer = upload(client, make())
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "multipart/form-data; boundary=x", 400),
        (b"nonsense", "multipart/form-data; boundary=x", 400),
        (b"nonsense", "multipart/form-data", 400),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nfile\r\n--x--\r\n', None, 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
    ],
)
def test_a_form_that_holds_no_file_is_refused(client: Client, body, kind, status):
    kind = kind or "multipart/form-data; boundary=x"
    answer = client.http.post("/upload_clothes", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text


def test_whatever_is_uploaded_gets_an_answer_of_the_clients_own_fault(client: Client):
    chance = random.Random(7)
    for make in (xlsx, xls):
        whole = make(CONTRACT)
        for _ in range(40):
            data = io.BytesIO(whole)
            for _ in range(chance.choice([1, 10, 100])):
                data.seek(chance.randrange(len(whole)))
                data.write(bytes([chance.randrange(256)]))
            answer = upload(client, data.getvalue()[: chance.choice([None, len(whole) // 2])])
            assert answer.status_code == 200 or 400 <= answer.status_code < 500


def test_a_render_wears_what_the_catalogue_has(ada: Client, store: EventStore, brand: str):
    upload(ada, xlsx([row(brand=brand, name="Hat", colors="Sky,Sea", colors_hex="#AACCFF,0000AA")]))
    found = worn_by(ada, store, brand=brand.upper(), item_id="hat ", color="sea", size="M")
    assert found == WornGarment(
        name="Hat",
        color_hex="#0000AA",
        color_known=True,
        size_known=True,
        gender="Male",
        sizes=("S", "M", "L"),
    )
    other = worn_by(ada, store, brand=brand, item_id="Hat", color="Red", size="XXL")
    assert (other.color_hex, other.color_known, other.size_known) == ("#AACCFF", False, False)


def test_a_render_of_a_garment_that_nobody_listed_is_ordered_without(
    ada: Client, store: EventStore, brand: str
):
    assert worn_by(ada, store, brand=brand, item_id="Hat", color="Red") is None
    assert worn_by(ada, store, brand=brand) is None
    assert worn_by(ada, store) is None


def leaf(client: Client, query: str):
    answer = client.http.get(f"/clothes?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_whoever_asks_leafs_through_the_catalogue_as_it_is_looked_up(client: Client, brand: str):
    names = ["Hat", "Coat", "Red Hat"]
    upload(client, xlsx([row(brand=brand, name=name) for name in names]))
    whole = leaf(client, urlencode({"brand": brand}))
    assert [each["name"] for each in whole["clothes"]] == names[::-1]
    assert whole["clothes"][0] == find(client, brand=brand, name="Red Hat").json()
    assert whole["pagination"] == {"limit": 10, "next_cursor": None, "has_next": False}
    first = leaf(client, urlencode({"brand": brand, "limit": 2}))
    assert first["pagination"]["has_next"]
    second = leaf(
        client,
        urlencode({"brand": brand, "limit": 2, "cursor": first["pagination"]["next_cursor"]}),
    )
    assert first["clothes"] + second["clothes"] == whole["clothes"]
    found = leaf(client, urlencode({"q": f"{brand} ha"}))
    assert [each["name"] for each in found["clothes"]] == ["Red Hat", "Hat"]
    assert leaf(client, "limit=1")["clothes"] == whole["clothes"][:1]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=-1", "brand=" + 201 * "x"])
def test_a_page_of_the_catalogue_that_cannot_be_is_refused(client: Client, query: str):
    answer = client.http.get(f"/clothes?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [each["field"] for each in answer.json()["details"]] == [query.partition("=")[0]]
