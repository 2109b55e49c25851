import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.cli import demo
from api.cli.demo import DemoFailed, example
from infra.process import progress
from infra.process.locks import lock
from infra.process.progress import Progress
from infra.settings import LOCK_FILE, STEP_FILE, Settings
from tests.support.scenario import eventually

CONTRACT = Path(__file__).parents[3] / "contract" / "api.md"


def test_the_demo_posts_the_contracts_own_example():
    _, generate = CONTRACT.read_text().split("### /generate\n", maxsplit=1)
    body = re.search(r"```json\n(.*?)```", generate, re.DOTALL)
    assert body is not None
    assert json.loads(example()) == json.loads(body[1])


def test_beside_an_atelier_that_starts_the_demo_tells_what_that_one_is_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(progress, "PLAIN_EVERY_SECONDS", 0.1)
    held = lock(tmp_path / LOCK_FILE, 1.0, "somebody else tests here")
    told = f"Waiting for the Atelier that starts in {tmp_path}. Preparing the body model"
    with ThreadPoolExecutor(1) as threads, Progress(tmp_path / STEP_FILE) as other:
        other.step("Preparing the body model")
        waiting = threads.submit(demo.run, Settings(data=tmp_path, port=1))
        eventually(lambda: told in capsys.readouterr().err)
        os.close(held)  # that one has failed
        with pytest.raises(DemoFailed):
            waiting.result()
    assert not (tmp_path / STEP_FILE).exists()
