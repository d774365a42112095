"""When ftwatch was down, by its last sign of life and its next start; what that hid says `core.lateness`."""

import msgspec

from ftwatch.core.event import Gap
from ftwatch.core.lateness import remembered
from ftwatch.store.sqlite import Database

__all__ = ["Gaps"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[Gap, ...]).decode


class Gaps:
    """The last of them; `known` may be asked for on any thread."""

    def __init__(self, db: Database) -> None:
        self._db = db
        row = db.row("SELECT value FROM meta WHERE key = 'gaps'")
        self.known = _decode(row[0]) if row else ()

    def add(self, since: float, until: float) -> None:
        """Notes that nothing was looked at between these times (Unix seconds)."""
        after = remembered(self.known, Gap(since=int(since), until=int(until), cause="down"))
        if after == self.known:
            return
        with self._db.transaction():
            self._db.execute(
                "INSERT INTO meta (key, value) VALUES ('gaps', ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                _encode(after).decode(),
            )
        self.known = after
