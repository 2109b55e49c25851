"""Running as processes: supervision, locks, leadership, logs, metrics, progress.

Not what they do.
"""
