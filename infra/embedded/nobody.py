"""Programs and clusters where ``nobody`` may enter, for root on a kernel without user namespaces.

PostgreSQL refuses to run as root, and ``nobody`` may enter neither root's home nor a clone that
only its owner may read. So both lie in a folder of the system's own, and no other is opened.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from infra.embedded.server import ServerFailed

NAME: Final = "nobody"
OPEN_FOLDER: Final = Path("/var/lib/atelier")
HINT: Final = (
    "PostgreSQL does not run as root, and this kernel allows no user namespaces. "
    "Start Atelier as an ordinary user, or set ATELIER_POSTGRES_URL to a server of your own."
)


def programs(package: Path, version: str) -> Path:
    """A copy of a package's folder, and of the libraries beside it, that everybody may run.

    Raises ``ServerFailed`` where it cannot be made.
    """
    copy = _open_folder() / f"postgresql-{version}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=copy.parent))
        try:
            for folder in package.parent.glob(f"{package.name}*"):
                shutil.copytree(folder, unfinished / folder.name, symlinks=True)
            _let_all_read(unfinished)
            unfinished.rename(copy)
        except OSError as error:
            if not copy.exists():  # another start was not first either
                raise ServerFailed(f"{HINT} ({error})") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return copy / package.name


def move_out(folder: Path) -> None:
    """Have a link in a folder's place, to where ``nobody`` may reach what is or will be there.

    Does nothing for one that has been moved. The place has a name of its own each time: where
    somebody deletes the link to begin anew, what it led to does not come back. Raises
    ``ServerFailed`` where there is no such place.
    """
    if folder.is_symlink():
        return
    home = Path(tempfile.mkdtemp(prefix="data-", dir=_open_folder()))
    home.chmod(0o711)
    if folder.exists():
        shutil.move(folder, home / folder.name)
    folder.symlink_to(home / folder.name)


def _open_folder() -> Path:
    try:
        OPEN_FOLDER.mkdir(parents=True, exist_ok=True)
        OPEN_FOLDER.chmod(0o711)
    except OSError as error:
        raise ServerFailed(f"{HINT} ({error})") from error
    return OPEN_FOLDER


def _let_all_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runnable else 0o644)
