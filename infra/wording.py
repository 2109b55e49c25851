"""What our texts for people have in common."""


def counted(number: int, noun: str) -> str:
    """How many there are: ``1 task``, ``1,200 tasks``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
