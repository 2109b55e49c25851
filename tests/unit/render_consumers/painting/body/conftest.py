import pytest
import torch

from render_consumers.painting.body import assets
from render_consumers.painting.body.body import Body
from render_consumers.painting.body.measure import Tape
from tests.support.adults import Adult, adults

FEW = 6  # random adults, for what every run looks at


@pytest.fixture(scope="session")
def body() -> Body:
    return Body(assets.load(torch.device("cpu")))


@pytest.fixture(scope="session")
def tape(body: Body) -> Tape:
    return Tape(body)


@pytest.fixture(scope="session")
def few(body: Body, tape: Tape) -> list[Adult]:
    return list(adults(body, tape, FEW))
