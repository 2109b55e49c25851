"""Clothes as they leave the tailor: drafted from a cut, sewn, with what belongs on necklines."""
