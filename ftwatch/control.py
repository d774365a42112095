"""The control socket: how a command asks the running daemon. One JSON line there, one back.

Only whoever may open the socket's file may ask; there is no other check.
"""

import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import structlog
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from ftwatch.store import StoreError

__all__ = ["NoDaemon", "Operation", "Refused", "ask", "listening"]

log = structlog.get_logger("ftwatch.control")

LONGEST_REQUEST = 1024 * 1024
PATIENCE = 30.0

Operation = Callable[..., Awaitable[dict[str, Any]]]


class NoDaemon(Exception):
    """Nobody listens on the control socket."""


class Refused(Exception):
    """The daemon cannot do what it was asked; the sentence says why."""


def ask(path: Path, op: str, **args: Any) -> dict[str, Any]:
    """Asks the daemon behind `path` for one operation. Raises NoDaemon, Refused."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(PATIENCE)
        try:
            line.connect(str(path))
            line.sendall(json.dumps({"op": op, **args}).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                part = line.recv(65536)
                if not part:
                    break
                answer += part
        except TimeoutError:
            raise Refused(f"the daemon did not answer within {PATIENCE:g} s") from None
        except PermissionError:
            raise Refused(f"no permission to open {path}: ask as root, or as a member of its group") from None
        except OSError:
            raise NoDaemon(f"no daemon answers at {path}: start one with `ftwatch run`") from None
    if not answer:
        raise NoDaemon(f"the daemon at {path} hung up")
    reply: dict[str, Any] = json.loads(answer)
    if "error" in reply:
        raise Refused(str(reply["error"]))
    return reply


@asynccontextmanager
async def listening(path: Path, operations: Mapping[str, Operation]) -> AsyncIterator[None]:
    """Serves `operations` on a socket at `path`, readable and writable by owner and group."""
    _clear(path)
    before = os.umask(0o117)
    try:
        listener = await anyio.create_unix_listener(str(path))
    finally:
        os.umask(before)

    async def serve(stream: SocketStream) -> None:
        async with stream:
            reply = await _reply(stream, operations)
            try:
                await stream.send(json.dumps(reply).encode() + b"\n")
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # the asker went away

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        try:
            yield
        finally:
            group.cancel_scope.cancel()
            _clear(path)


def _clear(path: Path) -> None:
    """Makes room for the socket: whoever left one is gone, since the database's lock is ours."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()


async def _reply(stream: SocketStream, operations: Mapping[str, Operation]) -> dict[str, Any]:
    try:
        with anyio.fail_after(PATIENCE):
            line = await BufferedByteReceiveStream(stream).receive_until(b"\n", LONGEST_REQUEST)
            request = json.loads(line)
            operation = operations[request.pop("op")]
            return await operation(**request)
    except Refused as error:
        return {"error": str(error)}
    except StoreError as error:
        return {"error": f"nothing was changed: {error}"}
    except TimeoutError:
        return {"error": "that took too long"}
    except (KeyError, TypeError, ValueError, AttributeError, anyio.IncompleteRead, anyio.DelimiterNotFound):
        log.warning("a request that makes no sense came over the control socket", exc_info=True)
        return {"error": "the daemon does not know this request: is it of another version?"}
