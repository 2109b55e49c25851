"""Random ids. Entropy is drawn in large pieces, since each draw is a call of the system."""

import os
import threading
from typing import Final
from uuid import UUID

PIECE_BYTES: Final = 4_096


class _Entropy(threading.local):
    """Random bytes of the system that nobody has had yet, for one thread."""

    piece = b""
    used = 0

    def take(self, size: int) -> bytes:
        if self.used + size > len(self.piece):
            self.piece, self.used = os.urandom(PIECE_BYTES), 0
        self.used += size
        return self.piece[self.used - size : self.used]


_entropy = _Entropy()


def _forget() -> None:
    global _entropy
    _entropy = _Entropy()


os.register_at_fork(after_in_child=_forget)  # else two processes would give out the same


def random_bytes(size: int) -> bytes:
    """Bytes that nobody can guess; `size` is small."""
    return _entropy.take(size)


def new_id() -> UUID:
    """A random UUID, version 4 (RFC 9562)."""
    return UUID(bytes=_entropy.take(16), version=4)
