"""`python -m api` is `atelier`."""

import sys

from api.cli import main

sys.exit(main())
