"""Dotted paths into JSON of any shape: `error.message`, `training_files.0`, `events.-1.detail`. Pure."""

from typing import TYPE_CHECKING, Any, Self

from ftwatch.plugins import ProviderError
from ftwatch.wire import lenient, scan

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["NOWHERE", "Paths", "dig", "listing", "within"]

LONGEST = 200


class Paths(tuple[str, ...]):
    """Paths by preference: what stands at the first one that leads to something counts. May be none."""

    __slots__ = ()

    @classmethod
    def of(cls, *paths: str) -> Self:
        """These paths. Raises ValueError with a sentence for what is none."""
        for path in paths:
            if not path or len(path) > LONGEST or not path.isprintable() or not all(path.split(".")):
                raise ValueError(f"{path[:40]!r} is no path: write keys joined by dots, like error.message")
        return cls(paths)

    def first(self, found: object) -> Any:
        """What the first path leads to that leads to more than nothing, null or an empty text; else None."""
        for path in self:
            value = dig(found, path)
            if value is not None and value != "":
                return value
        return None

    @classmethod
    def from_config(cls, value: object) -> Self:
        """What stands in the config as paths. Raises ValueError with a sentence for what cannot be."""
        if isinstance(value, cls):
            return value
        paths = [value] if isinstance(value, str) else value
        if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
            raise ValueError("this is a path like error.message, or a list of them by preference")
        return cls.of(*paths)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        one = core_schema.str_schema()
        either = core_schema.union_schema([one, core_schema.list_schema(one, min_length=1)])
        return core_schema.no_info_plain_validator_function(cls.from_config, json_schema_input_schema=either)


NOWHERE = Paths()


def dig(found: object, path: str) -> Any:
    """What stands at a path; whole numbers count the elements of a list, -1 is its last. None for nothing."""
    for key in path.split("."):
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and key.removeprefix("-").isdecimal() and len(key) < 10:
            index = int(key)
            found = found[index] if -len(found) <= index < len(found) else None
        else:
            return None
    return found


def within(body: bytes, path: str) -> bytes:
    """The bytes of what stands at a path of objects; the whole for "". Raises ProviderError for nothing."""
    body = body.removeprefix(lenient.BOM)
    for key in path.split(".") if path else ():
        try:
            members = {lenient.loads(name): value for name, value in scan.members(body).items()}
        except (ValueError, RecursionError, TypeError):
            members = {}
        if key not in members:
            said = lenient.complaint(body)
            raise ProviderError(f"the answer has no `{path}`" + (f": {said}" if said else ""))
        body = members[key]
    return body


def listing(body: bytes, path: str, *, may_lack: bool = False) -> tuple[list[bytes], Any]:
    """The entries of the list at a path ("" for a bare one), undecoded, and the answer around them.

    `may_lack`: an answer without the list has an empty one. Raises ProviderError where it is no listing.
    """
    holder, _, key = path.rpartition(".")
    if not key and body.removeprefix(lenient.BOM).lstrip()[:1] == b"{":
        said = lenient.complaint(body) or "it is an object, and `entries` names no list in it"
        raise ProviderError(f"the answer is no listing: {said}")
    if not holder:
        return lenient.parted(body, key, may_lack=may_lack)
    entries = lenient.entries(within(body, holder), key, may_lack=may_lack)
    try:
        return entries, lenient.loads(body)
    except (ValueError, RecursionError):
        raise ProviderError("the listing is no whole JSON") from None
