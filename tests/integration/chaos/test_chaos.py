"""A chaos run holds where nothing is planted, and finds each fault that is."""

import os
import subprocess
import sys

import pytest


@pytest.mark.long
@pytest.mark.parametrize(
    ("plant", "found"), [("nothing", ""), ("fencing", "doubled: task"), ("renewal", "doubled: ")]
)
def test_a_run_fails_exactly_where_a_fault_is_planted(plant: str, found: str) -> None:
    environ = {"CHAOS_PLANT": plant, "CHAOS_SEED": "1", "CHAOS_SECONDS": "60"}
    run = subprocess.run(
        [sys.executable, "-m", "tests.chaos"],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == bool(found), run.stdout + run.stderr
    assert found in run.stdout
