import json
import re
from pathlib import Path

from api.cli.demo import example

CONTRACT = Path(__file__).parents[3] / "contract" / "api.md"


def test_the_demo_posts_the_contracts_own_example():
    _, generate = CONTRACT.read_text().split("### /generate\n", maxsplit=1)
    body = re.search(r"```json\n(.*?)```", generate, re.DOTALL)
    assert body is not None
    assert json.loads(example()) == json.loads(body[1])
