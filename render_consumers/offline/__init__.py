"""Draws without any server: one request into a file, and sheets of all that can be drawn."""
