"""A starlette application on a loopback port, in the caller's event loop; it can go and come back."""

import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import anyio
import uvicorn

__all__ = ["Place"]


# These servers break off on purpose; what their library has to say about that helps nobody.
logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)


class _Server(uvicorn.Server):
    """Uvicorn without its hold on the process's signals; says when it listens."""

    def __init__(self, config: uvicorn.Config, listens: anyio.Event) -> None:
        super().__init__(config)
        self._listens = listens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


class Place:
    """Where an application is served. `down` really closes the port, `up` opens the same one again."""

    def __init__(self, application: Any, port: int = 0) -> None:
        self._application = application
        self.port = port
        self._is_up = anyio.Event()
        self._is_down = anyio.Event()
        self._change = anyio.Event()
        self._wanted = True

    @property
    def url(self) -> str:
        """The address, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Place"]:
        """Serves for as long as the context lasts."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep)
            await self._is_up.wait()
            yield self
            group.cancel_scope.cancel()

    async def down(self) -> None:
        """Closes the port: connections are refused from now on."""
        self._wanted = False
        self._change.set()
        await self._is_down.wait()

    async def up(self) -> None:
        """Opens the port again."""
        self._wanted = True
        self._change.set()
        await self._is_up.wait()

    async def _keep(self) -> None:
        while True:
            self._change = anyio.Event()
            if self._wanted:
                await self._serve_until_changed()
            else:
                await self._change.wait()

    async def _serve_until_changed(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._application, log_config=None, lifespan="off", timeout_graceful_shutdown=1
        )
        server = _Server(config, self._is_up)
        self._is_down = anyio.Event()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(server.serve, [listener])
                await self._change.wait()
                server.should_exit = server.force_exit = True
        finally:
            # Cancelled, it would leave the loop a socket under a number that the next one may get.
            for one in getattr(server, "servers", ()):
                one.close()
            listener.close()
            self._is_up = anyio.Event()
            self._is_down.set()
