"""What every module does with vectors."""

from torch import Tensor


def unit(vectors: Tensor) -> Tensor:
    """The same directions (..., 3) with length 1; a vector of length 0 stays."""
    length: Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors / length.clamp(min=1e-12)
