"""Hair: where it grows, how it falls, and what it looks like."""
