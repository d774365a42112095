"""Which accounts does the environment open? Every kind of provider names the variable its SDK reads."""

import os
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from ftwatch.config import ProviderConfig
from ftwatch.plugins import Secret, kinds, load_kind

__all__ = ["Key", "keys", "variables"]


class Key(Struct, frozen=True):
    """A key that was found: the kind of provider, the variable that holds it, and one for another address."""

    kind: str
    variable: str
    base_variable: str | None

    def provider(self, environ: Mapping[str, str]) -> ProviderConfig:
        """The account, named like its kind, as the service's own SDK would find it."""
        options: dict[str, Any] = {"api_key": Secret(environ[self.variable])}
        if self.base_variable is not None:
            options["base_url"] = environ[self.base_variable]
        made = load_kind("provider", self.kind).Options(**options)
        return ProviderConfig(name=self.kind, kind=self.kind, options=made)


def variables() -> dict[str, str]:
    """Every kind that can be had by a key alone, with the variable that its SDK reads."""
    found = {}
    for kind in sorted(kinds("provider")):
        try:
            variable = getattr(load_kind("provider", kind), "key_variable", None)
        except Exception:  # a guest's module may fail in any way; the others are found all the same
            continue
        if isinstance(variable, str):
            found[kind] = variable
    return found


def keys(environ: Mapping[str, str] | None = None) -> list[Key]:
    """The keys that are there."""
    environ = os.environ if environ is None else environ
    found = []
    for kind, variable in variables().items():
        if environ.get(variable, "").strip():
            base = variable.removesuffix("_API_KEY") + "_BASE_URL"
            found.append(Key(kind, variable, base if environ.get(base) else None))
    return found
