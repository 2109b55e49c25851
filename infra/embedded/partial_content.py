"""Runs an HTTP server behind an address of its own, and answers its partial contents with 206.

`rclone serve s3` sends the part that a Range asks for, but with status 200, and Safari plays no
video from a server that does so. Nothing else of what passes through is changed.

It runs as a script of its own, isolated and with the standard library alone:
``python -I -S partial_content.py PORT SERVER_PORT COMMAND…``. It ends with the server, and the
server with it.
"""

import asyncio
import ctypes
import signal
import sys

HEAD_BYTES = 256 * 1024  # the most that a head of a request or an answer may have
PIECE_BYTES = 256 * 1024
PR_SET_PDEATHSIG = 1
HEAD_END = b"\r\n\r\n"
LOOPBACK = "127.0.0.1"


async def main(port: int, server_port: int, command: list[str]) -> int:
    """Serve until the server ends, and give its exit code."""
    process = await asyncio.create_subprocess_exec(
        *command,
        preexec_fn=_die_with_parent,
        close_fds=False,  # the lock that says that a server is at work in the folder
    )
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, process.terminate)

    async def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            await _Exchange(client, to_client).run(server_port)
        except OSError:  # the server does not listen yet, or no more
            to_client.close()

    async with await asyncio.start_server(serve, LOOPBACK, port, limit=HEAD_BYTES):
        return await process.wait()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class _Exchange:
    """One client's connection: requests in, answers out, one after the other."""

    def __init__(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._client, self._to_client = client, to_client
        self._asked_for_part = False

    async def run(self, server_port: int) -> None:
        """Pass everything on until either side ends its connection."""
        server, to_server = await asyncio.open_connection(LOOPBACK, server_port, limit=HEAD_BYTES)
        both = [
            asyncio.create_task(self._pass_requests(to_server)),
            asyncio.create_task(self._pass_answers(server)),
        ]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        to_server.close()
        self._to_client.close()

    async def _pass_requests(self, to_server: asyncio.StreamWriter) -> None:
        """The bodies are followed, so that the head of the next request is found."""
        while True:
            head = await self._client.readuntil(HEAD_END)
            fields = _fields(head)
            self._asked_for_part = "range" in fields
            to_server.write(head)
            if fields.get("transfer-encoding", "").lower() == "chunked":
                await self._pass_chunks(to_server)
            else:
                await _pass(self._client, to_server, int(fields.get("content-length", 0)))

    async def _pass_chunks(self, to_server: asyncio.StreamWriter) -> None:
        size = -1
        while size:
            line = await self._client.readline()
            size = int(line.partition(b";")[0], 16)
            to_server.write(line)
            await _pass(self._client, to_server, size)
            while size == 0 and line.strip():  # trailers, up to an empty line
                line = await self._client.readline()
                to_server.write(line)
            if size:
                to_server.write(await self._client.readline())

    async def _pass_answers(self, server: asyncio.StreamReader) -> None:
        """They need no following: no client asks again before it has its answer."""
        while piece := await server.read(PIECE_BYTES):
            if self._asked_for_part:
                self._asked_for_part = False
                while HEAD_END not in piece and (more := await server.read(PIECE_BYTES)):
                    piece += more
                piece = _as_partial(piece)
            self._to_client.write(piece)
            await self._to_client.drain()


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter, size: int) -> None:
    while size:
        piece = await source.read(min(size, PIECE_BYTES))
        if not piece:
            raise EOFError
        size -= len(piece)
        target.write(piece)
        await target.drain()


def _fields(head: bytes) -> dict[str, str]:
    """The header fields by their names in small letters."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.lower(): value.strip() for name, _, value in pairs}


def _as_partial(answer: bytes) -> bytes:
    head, end, body = answer.partition(HEAD_END)
    status, ok, rest = head.partition(b" 200 OK\r\n")
    if ok and status == b"HTTP/1.1" and "content-range" in _fields(head):
        return status + b" 206 Partial Content\r\n" + rest + end + body
    return answer


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])))
