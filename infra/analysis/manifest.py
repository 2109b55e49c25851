"""What a folder of exported events holds: written beside the files, after each that is whole."""

import hashlib
from importlib import metadata
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
import pyarrow as pa

from domain.errors import AtelierError

NAME: Final = "manifest.json"


class OtherExport(AtelierError):
    """The folder holds the files of another export."""

    code = "other_export"


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file, by its path in the folder; ``bytes`` is its size."""

    name: str
    events: int
    bytes: int
    sha256: str


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A span of positions that is exported: its files, and the build that wrote them.

    ``unreadable`` are the positions whose members are null in a typed table.
    """

    first: int
    last: int
    files: tuple[File, ...]
    unreadable: tuple[int, ...]
    written_by: dict[str, str]


class ExportSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported, and how: a folder holds one such thing."""

    log_id: UUID
    first: int
    types: tuple[str, ...]
    aggregate: UUID | None
    account: UUID | None
    format: str
    typed: bool
    personal: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The whole folder; ``complete`` is false until every block up to ``last`` is there.

    ``empty`` are the tables of types without an event.
    """

    spec: ExportSpec = msgspec.field(name="what")  # its name in the files that exist
    last: int
    complete: bool
    events: int
    blocks: tuple[Block, ...]
    empty: tuple[File, ...] = ()


def load(folder: Path, spec: ExportSpec, last: int) -> Manifest | None:
    """The manifest of the folder, or None in one that has none yet.

    Raises `OtherExport` when it is of something else or reaches further than `last`, so that no
    file is removed that somebody still wants, and when it cannot be read.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except ValueError as error:
        raise OtherExport(
            f"{path} is no manifest of ours ({error}): name another folder"
        ) from error
    differs = [
        f"{name} is {_shown(there)} there and {_shown(here)} here"
        for name in ExportSpec.__struct_fields__
        if (there := getattr(found.spec, name)) != (here := getattr(spec, name))
    ]
    if found.last > last:
        differs.append(f"it goes up to {found.last} there and to {last} here")
    if differs:
        raise OtherExport(
            f"{folder} holds another export ({'; '.join(differs)}): name another folder, or remove"
            " this one"
        )
    return found


def save(folder: Path, manifest: Manifest) -> None:
    """Put the manifest into the folder, in place of the one before."""
    written = folder / f"{NAME}.tmp"
    written.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    written.replace(folder / NAME)


def is_whole(folder: Path, block: Block) -> bool:
    """Whether the block's files are as they were written."""
    return all(
        (folder / file.name).is_file() and sha256(folder / file.name) == file.sha256
        for file in block.files
    )


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """What the bytes of a file depend on besides the events."""
    return {"atelier": metadata.version("atelier"), "pyarrow": pa.__version__}


def _shown(value: object) -> str:
    return str(value) if value not in (None, ()) else "unset"
