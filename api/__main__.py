"""`python -m api` is `atelier`."""

import sys
from typing import Final

INTERRUPTED: Final = 130


def run() -> int:
    """Run the command line; Ctrl-C ends it without a traceback, also while it is being imported."""
    try:
        from api.cli.main import main

        return main()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(run())
