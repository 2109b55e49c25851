"""A process that sends webhooks to this machine: `python -m tests.support.sending` and its options.

The product itself sends nothing there; only who hands `Poster` other permissions does.
"""

import base64
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from infra.log.event_store import EventStore
from infra.log.keys import KeyRing
from infra.postgres import Listener, Pool
from infra.process.leader import Leadership
from infra.webhooks.deliveries import Deliveries
from infra.webhooks.posting import Poster
from infra.webhooks.targets import Address
from render_consumers.loop.webhooks import LOCK, WebhookSender
from tests.support.receiver import Receiver
from tests.support.scenario import HASH_KEY, MASTER_KEY, opened_pool

KEYS = [f"whsec_{base64.b64encode(bytes([n] * 32)).decode()}" for n in (1, 2)]
LINKS = "https://media.example.org/"


def is_here(address: Address) -> bool:
    """Whether an address is of this machine."""
    return address.is_loopback


def sender(store: EventStore, pool: Pool, host: str, tls: ssl.SSLContext) -> WebhookSender:
    """One that may send to a host of this machine."""
    poster = Poster([host], permits=is_here, tls=tls)
    return WebhookSender(Deliveries(pool), store, LINKS.__add__, poster, KEYS)


@contextmanager
def sending(url: str, receiver: Receiver) -> Iterator[subprocess.Popen[bytes]]:
    """The process, which a test may kill."""
    keys = base64.b64encode(MASTER_KEY + HASH_KEY).decode()
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, url, receiver.host, str(receiver.trusting)],
        env={**os.environ, "TEST_KEYS": keys},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main(url: str, host: str, trusting: str) -> None:
    """Send until killed."""
    keys = base64.b64decode(os.environ["TEST_KEYS"])
    tls = ssl.create_default_context(cafile=trusting)
    with opened_pool(url) as pool, Leadership(url, LOCK) as leader:
        store = EventStore(pool, KeyRing(pool, keys[:32]), keys[32:])
        sender(store, pool, host, tls).run(leader, Listener(url).wait, threading.Event())


if __name__ == "__main__":
    main(*sys.argv[1:])
