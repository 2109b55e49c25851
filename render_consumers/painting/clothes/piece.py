"""What is worn, as the picture takes it."""

import msgspec
from torch import Tensor


class Cloth(msgspec.Struct, frozen=True):
    """A piece that is worn: places (V, 3) in the pose and on the template, and what cuts it."""

    places: Tensor
    template: Tensor
    field: Tensor  # (V,)
