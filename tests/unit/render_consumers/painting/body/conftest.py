import pytest
import torch

from render_consumers.painting.body import assets
from render_consumers.painting.body.body import Body


@pytest.fixture(scope="session")
def body() -> Body:
    return Body(assets.load(torch.device("cpu")))
