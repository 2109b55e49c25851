"""What our texts for people have in common."""


def counted(number: int, noun: str) -> str:
    """How many there are: ``1 task``, ``1,200 tasks``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def ago(seconds: float) -> str:
    """A time for people: 12 s, 5 min, 3 h, 4 days."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
