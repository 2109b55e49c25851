"""A remote engine that redraws pictures: how it is asked, and what has become of what was asked."""
