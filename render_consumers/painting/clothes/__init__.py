"""What a person wears: what it is and measures, how it fits, and what it looks like."""
