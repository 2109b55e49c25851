from infra.media.store import MediaStore
from infra.settings import Settings

STORE = Settings(s3_url="http://127.0.0.1:9", s3_access_key="access", s3_secret_key="secret" * 4)


def test_a_public_base_url_is_used_as_it_is():
    settings = Settings(
        s3_url="http://127.0.0.1:9",
        s3_access_key="access",
        s3_secret_key="secret-of-a-store",
        media_base_url="https://media.example.com",
    )

    assert (
        MediaStore(settings).url("33/gallery/a b?.jpg")
        == "https://media.example.com/33/gallery/a%20b%3F.jpg"
    )


def test_a_signed_url_names_the_place_that_clients_see():
    url = MediaStore(STORE).url("33/gallery/a b?.jpg")

    assert url.startswith("http://127.0.0.1:9/atelier/33/gallery/a%20b%3F.jpg?")
    assert "X-Amz-Signature=" in url
