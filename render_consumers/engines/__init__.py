"""Turns a request into the files of its result, in memory.

Painting itself lies in `painting/`.
"""
