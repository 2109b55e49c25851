"""What Python imports first in each process of a chaos run, since it is on their path.

In render consumers it slows down staging, so that the run meets them between that and publishing,
and plants the fault that CHAOS_PLANT names.
"""

import os
import sys
import threading
import time
from typing import Any

STAGING_S = 0.4  # how long a consumer rests when it has staged a file


def slow_down_staging() -> None:
    """Have each staged file take a while, as over a slow network."""
    from infra.media.store import MediaStore

    put = MediaStore.put

    def put_slowly(self: MediaStore, key: str, *rest: Any) -> None:
        put(self, key, *rest)
        if key.startswith("staging/"):
            time.sleep(STAGING_S)

    MediaStore.put = put_slowly  # type: ignore[method-assign, assignment]


def without_fencing() -> None:
    """No attempt learns that it is over: neither by its lease nor by the log."""
    import commands.render
    from render_consumers.loop.leases import Leases

    assert callable(commands.render._check_current)
    assert callable(Leases.renew)
    commands.render._check_current = lambda *_: None
    Leases.renew = lambda *_: True  # type: ignore[method-assign]


def without_renewal() -> None:
    """Leases are renewed while a task is rendered, but not before its files are published."""
    from render_consumers.loop.leases import Leases

    renew = Leases.renew

    def renew_while_rendering(self: Leases, *rest: Any) -> bool:
        return threading.current_thread().name != "heartbeat" or renew(self, *rest)

    Leases.renew = renew_while_rendering  # type: ignore[method-assign, assignment]


PLANTS = {"nothing": lambda: None, "fencing": without_fencing, "renewal": without_renewal}


def main() -> None:
    """Change this process, or end it when what should be changed is no longer there."""
    try:
        slow_down_staging()
        PLANTS[os.environ["CHAOS_PLANT"]]()
    except Exception as error:  # Python itself would only print it and go on
        sys.exit(f"the fault cannot be planted: {error!r}")


if sys.orig_argv[-1] == "render-consumer":
    main()
