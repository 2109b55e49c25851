import io
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from api.cli.main import main

PLAIN = {"user_details": {"background_color_hex": "12AB34", "hairstyle": "no such hair"}}


def render(request: str, out: Path) -> int:
    return main(["render", "--request", request, "--out", str(out)])


def test_what_the_api_refuses_is_refused_in_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"user_details": {"skin_tone": 500, "pose": 3}, "bogus": 1}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(body).encode())))
    assert render("-", tmp_path / "picture.jpg") == 2
    assert capsys.readouterr().err.splitlines() == [
        "atelier render: the request is refused: ",
        "  bogus is unknown",
        "  user_details.skin_tone must be a whole number from 0 to 100",
        "  user_details.pose must be text of at most 64 characters",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "out", "told"),
    [
        ("{", "picture.png", "the request is refused: the body cannot be read as JSON"),
        ("{}", "picture.gif", "must end in one of .jpg, .jpeg, .png"),
        ("{}", "nowhere/picture.png", "there is no folder"),
        (None, "picture.png", "cannot be read: No such file or directory"),
    ],
    ids=["no JSON", "no such kind", "no such folder", "no request"],
)
def test_what_cannot_be_done_is_told_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str | None, out: str, told: str
) -> None:
    request = tmp_path / "request.json"
    if body is not None:
        request.write_text(body)
    assert render(str(request), tmp_path / out) == 2
    assert told in capsys.readouterr().err


@pytest.mark.skipif(not find_spec("torch"), reason="needs what render consumers need")
def test_a_request_becomes_a_picture_without_any_server(tmp_path: Path) -> None:
    request, out = tmp_path / "request.json", tmp_path / "picture.png"
    request.write_text(json.dumps(PLAIN))
    command = [sys.executable, "-m", "api", "render", "--request", str(request), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{out}\n"
    assert "user_details.hairstyle cannot be drawn as asked" in done.stderr
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.size == (768, 1024)
        assert picture.getpixel((0, 0)) == (0x12, 0xAB, 0x34)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture.png", "request.json"]


def test_an_unknown_sheet_is_refused_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["contact-sheet", "nonsense", "--out", str(tmp_path / "sheets")]) == 2
    assert "there is no sheet nonsense; there are bodies, faces, " in capsys.readouterr().err
    assert not (tmp_path / "sheets").exists()
