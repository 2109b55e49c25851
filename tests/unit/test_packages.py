"""Our top-level names are common words: they must mean what lies in this repository."""

import importlib
import json
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
WITH_TORCH = "render_consumers"


def modules(package: str) -> list[str]:
    """The package and all modules in it, by name."""
    folder = ROOT / package
    found = pkgutil.walk_packages([str(folder)], prefix=f"{package}.")
    return [package, *(module.name for module in found if not module.name.endswith("__main__"))]


def test_the_distribution_holds_the_six_packages():
    in_the_tree = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert set(PACKAGES) == in_the_tree - {"tests"}
    assert len(PACKAGES) == 6


def test_the_distribution_cannot_be_uploaded_by_mistake():
    assert "Private :: Do Not Upload" in PYPROJECT["project"]["classifiers"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_comes_from_this_repository(package: str):
    for name in modules(package):
        file = importlib.import_module(name).__file__
        assert file is not None, f"{name} lacks an __init__.py"
        assert Path(file).is_relative_to(ROOT / package), name


def test_every_folder_with_code_is_a_package():
    folders = {
        path.parent for package in [*PACKAGES, "tests"] for path in ROOT.glob(f"{package}/**/*.py")
    }

    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def told_by(script: str) -> Any:
    """What a fresh process tells that runs the script on every module but the consumers'."""
    names = [name for package in PACKAGES if package != WITH_TORCH for name in modules(package)]
    finished = subprocess.run(
        [sys.executable, "-c", script, json.dumps(names)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(finished.stdout)


def test_all_but_the_render_consumers_start_without_torch():
    script = (
        "import importlib, json, sys\n"
        "for name in json.loads(sys.argv[1]): importlib.import_module(name)\n"
        "print(json.dumps(sorted({'torch', 'anny', 'warp'} & sys.modules.keys())))"
    )

    assert told_by(script) == []


def test_importing_starts_nothing():
    script = (
        "import importlib, json, os, sys, threading\n"
        "os.environ.clear()\n"
        "for name in json.loads(sys.argv[1]): importlib.import_module(name)\n"
        "print(json.dumps([thread.name for thread in threading.enumerate()]))"
    )

    assert told_by(script) == ["MainThread"]


def test_what_the_constraints_pin_is_what_is_installed():
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in constraints if line and not line.startswith("#"))

    assert pinned["torch"] == "2.13.0"
    declared = [*PYPROJECT["project"]["dependencies"]]
    for extra in PYPROJECT["project"]["optional-dependencies"].values():
        declared += extra
    names = {_normalised(requirement) for requirement in declared}
    assert names - {_normalised(name) for name in pinned} == set()


def _normalised(requirement: str) -> str:
    name = requirement.partition(";")[0]
    for mark in "[<>=!~ ":
        name = name.partition(mark)[0]
    return name.lower().replace("_", "-").replace(".", "-")
