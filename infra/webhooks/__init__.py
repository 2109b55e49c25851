"""Telling others of the end of tasks: where may it go, what goes out, and what has become of it."""
