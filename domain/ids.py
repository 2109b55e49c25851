"""Random ids. They name things and open nothing, so they need not be beyond guessing."""

import random
from uuid import UUID


def new_id() -> UUID:
    """A random UUID, version 4 (RFC 9562).

    `uuid.uuid4` asks the system for each; this asks it once per process, and once after a fork.
    """
    return UUID(int=random.getrandbits(128), version=4)
