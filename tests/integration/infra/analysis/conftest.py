"""The fixtures of `tests.support.sample_log`."""

from tests.support.sample_log import own, sample

__all__ = ["own", "sample"]
