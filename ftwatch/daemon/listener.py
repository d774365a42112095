"""The web's socket, in step with the config: open before the daemon is ready, moved by a reload."""

import socket
from typing import TYPE_CHECKING

import anyio
import structlog

from ftwatch.config import Config

if TYPE_CHECKING:
    from ftwatch.web import House

__all__ = ["Listener", "Occupied"]

log = structlog.get_logger("ftwatch.web")

BACKLOG = 256


class Occupied(Exception):
    """Nobody can listen there; the sentence says where and why."""


class Listener:
    """Serves the web for as long as the config has one."""

    def __init__(self, house: "House") -> None:
        self._house = house
        self._listen: tuple[str, int] | None = None
        self._socket: socket.socket | None = None
        self._moved = anyio.Event()
        self._stopping = False

    @property
    def port(self) -> int | None:
        """Where it listens, also where the config leaves the choice to the system."""
        return self._socket.getsockname()[1] if self._socket is not None else None

    def take(self, config: Config) -> None:
        """Listens where the config says from now on. Raises Occupied, and stays where it was."""
        listen = config.web.listen if config.web is not None else None
        if listen == self._listen:
            return
        # The old one is closed by who serves on it.
        self._socket = _bind(listen) if listen is not None else None
        self._listen = listen
        self._moved.set()

    def stop(self) -> None:
        """Ends: requests under way are answered."""
        self._stopping = True
        self._moved.set()

    async def run(self) -> None:
        """Serves until `stop`."""
        while not self._stopping:
            self._moved, ends = anyio.Event(), anyio.Event()
            if self._socket is None:
                await self._moved.wait()
                continue
            # Whoever has no web need not load it.
            from ftwatch.web import application, serving

            async with serving(application(self._house, ends), self._socket, ends):
                log.info("listening", port=self.port)
                await self._moved.wait()


def _bind(listen: tuple[str, int]) -> socket.socket:
    """A socket that listens at (host, port). Raises Occupied."""
    host, port = listen
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(
            address[:2],
            family=family,
            backlog=BACKLOG,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise Occupied(f"web.listen: cannot listen on {where}: {error.strerror or error}") from None
