import msgspec

from api.resources.capabilities import CAPABILITIES
from tests.integration.api.conftest import Client


def test_whoever_asks_is_told_every_word_and_may_keep_the_answer(client: Client):
    answer = client.get("/capabilities")
    assert answer.status_code == 200
    assert answer.json() == msgspec.to_builtins(CAPABILITIES)
    assert "t-pose" in answer.json()["user_details"]["pose"]
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert answer.headers["Vary"] == "Origin"  # another page's browser asks for its own


def test_what_is_listed_is_the_name_of_a_member_that_a_request_has(client: Client):
    schemas = client.get("/schema/openapi.json").json()["components"]["schemas"]
    told = client.get("/capabilities").json()
    for part, schema in (("user_details", "UserDetails"), ("apparel_details", "ApparelDetails")):
        assert told[part].keys() <= schemas[schema]["properties"].keys()
