"""What every request passes: auth, errors, strict bodies, limits, idempotency.

No resource of its own.
"""
