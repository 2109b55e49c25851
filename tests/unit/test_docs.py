"""The documents say what the code does."""

from pathlib import Path

from api.command_table import COMMANDS
from infra.settings import VARIABLES

ROOT = Path(__file__).parents[2]


def test_every_setting_stands_in_the_settings_page_with_its_default_and_purpose() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    for variable in VARIABLES:
        default = f"`{variable.default}`" if variable.default else ""
        assert f"| `{variable.name}` | {default} | {variable.purpose} |" in page


def test_the_readme_names_every_command_and_starts_with_what_it_is() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme.startswith("# Atelier\n\nAtelier dresses people's digital doubles.")
    for command in COMMANDS:
        assert f"`{command}`" in readme
    for target in ("make run", "make demo", "make test"):
        assert target in readme


def test_every_picture_in_the_readme_is_there() -> None:
    assert (ROOT / "docs" / "demo.jpg").stat().st_size > 10_000
