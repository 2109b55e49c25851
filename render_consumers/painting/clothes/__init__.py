"""What a person wears: how it is cut, how it hangs, and what it looks like."""
