"""The body: its model, what the tape reads on it, and the one that measures what was asked."""
