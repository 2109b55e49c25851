"""The secrets that `atelier up` makes once and keeps beside the data that they protect."""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.settings import SettingsError
from infra.values import KEY_BYTES

FILE: Final = "secrets.json"


def load_or_make(data: Path, *, needed_by: Path) -> dict[str, str]:
    """The secrets as environment variables; raises ``SettingsError`` when they were lost.

    ``needed_by`` is a folder which cannot be read any more without the secrets it was made with.
    """
    path = data / FILE
    known = _read(path)
    if not known and needed_by.exists():
        raise SettingsError(
            [
                f"{path} is missing, and without its keys the data in {needed_by} cannot be read. "
                f"Put the file back, or move {data} away to begin anew."
            ]
        )
    complete = _fresh() | known
    if complete != known:
        write_private(path, complete)
    return complete


def write_private(path: Path, content: Mapping[str, str]) -> None:
    """Write a JSON file that only we may read, whole and on disk or not at all."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(descriptor)
    unfinished.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        known: dict[str, str] = json.loads(path.read_bytes())
    except ValueError as error:
        raise SettingsError([f"{path} is damaged: {error}. Put back a copy of it."]) from error
    return known


def _fresh() -> dict[str, str]:
    return {
        "ATELIER_MASTER_KEY": _random_key(),
        "ATELIER_HASH_KEY": _random_key(),
        "ATELIER_JWT_KEY": _random_key(),
        "ATELIER_S3_ACCESS_KEY": secrets.token_hex(10),
        "ATELIER_S3_SECRET_KEY": secrets.token_hex(20),
    }


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
