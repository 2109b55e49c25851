"""Carries the log onto Kafka, each event once; compares and mends what lies there.

Not who reads it there.
"""
