"""Small questions that a server answers once it can be used; they raise until then."""

import urllib.error
import urllib.request

from infra.kafka.clients import make_admin, reachable
from infra.settings import Settings

ANSWER_SECONDS = 2.0


def ask_kafka(bootstrap: str) -> None:
    """List the topics of a broker."""
    settings = Settings(kafka_bootstrap=bootstrap)
    if not reachable(settings, ANSWER_SECONDS):
        raise ConnectionError(f"no broker answers at {bootstrap}")
    admin = make_admin(settings)
    try:
        admin.list_topics()
    finally:
        admin.close()


def ask_http(url: str) -> None:
    """Get any answer that is not the server's own trouble."""
    try:
        urllib.request.urlopen(url, timeout=ANSWER_SECONDS).close()
    except urllib.error.HTTPError as refusal:  # an answer all the same: it asks who we are
        refusal.close()
        if refusal.code >= 500:
            raise
