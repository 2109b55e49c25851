import pytest
import torch

from render_consumers.painting.painter import Painter
from render_consumers.painting.picture.kernels.running import prepare


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Torch's waiting threads spin, and take a busy machine's cores from its other tests."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def painter() -> Painter:
    return Painter("cpu")


@pytest.fixture(scope="session", autouse=True)
def _kernels() -> None:
    """Compiled once on a machine, and loaded once by each process of the tests."""
    prepare(torch.device("cpu"))
