from datetime import UTC, datetime, timedelta

import pytest
from minio import Minio

from infra.media.signing import UrlSigner
from infra.settings import Settings

NOW = 1_739_678_557


@pytest.mark.parametrize("key", ["33/gallery/t.jpg", "a b/ü~(x)+&?#%.png", "1/gallery/_-.mp4"])
@pytest.mark.parametrize("moment", [NOW, NOW + 86_400 * 200])
@pytest.mark.parametrize("host", ["127.0.0.1:9000", "media.example.com"])
def test_it_signs_as_the_client_of_the_store_does(key: str, moment: int, host: str):
    settings = Settings(
        s3_access_key="GK/+access",
        s3_secret_key="secret" * 4,
        s3_region="eu-west-1",
        media_url_seconds=77,
    )
    client = Minio(host, "GK/+access", "secret" * 4, secure=False, region="eu-west-1")
    expected = client.presigned_get_object(
        "bucket",
        key,
        expires=timedelta(seconds=77),
        request_date=datetime.fromtimestamp(moment, UTC),
    )

    assert UrlSigner(settings, f"http://{host}/bucket/").url(key, moment) == expected
