"""Which accounts does the environment open? Found as the services' own SDKs find them, whatever their kind.

Most kinds name the variable that their SDK reads a key from; the others find their way in by themselves.
"""

import os
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, get_args, get_type_hints

from msgspec import Struct

from ftwatch.config import ProviderConfig
from ftwatch.plugins import Findable, Secret, kinds, load_kind

__all__ = ["Access", "accesses", "variables"]


class Access(Struct, frozen=True, kw_only=True):
    """A way into an account of a kind: a key in a variable, or options that lead to other credentials.

    `option` is where the kind takes the key, `address` the variable that holds another address. `is_needed`:
    the kind does not find the key by itself.
    """

    kind: str
    variable: str | None = None
    option: str = "api_key"
    address: str | None = None
    is_needed: bool = False
    options: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        """What people know it by."""
        return self.variable or self.kind

    @property
    def references(self) -> dict[str, str]:
        """The options whose values a config has to take from variables, with these."""
        found = {"base_url": self.address} if self.address else {}
        if self.variable and (self.address or self.is_needed):
            found = {self.option: self.variable, **found}
        return found

    def provider(self, environ: Mapping[str, str]) -> ProviderConfig:
        """The account, named like its kind, as the service's own SDK would find it."""
        given: dict[str, Any] = dict(self.options)
        if self.variable is not None:
            given[self.option] = Secret(environ[self.variable])
        if self.address is not None:
            given["base_url"] = environ[self.address]
        found = load_kind("provider", self.kind)
        rate = {"rate": found.rate} if hasattr(found, "rate") else {}
        return ProviderConfig(name=self.kind, kind=self.kind, options=found.Options(**given), **rate)

    def problem(self, environ: Mapping[str, str]) -> str | None:
        """What the kind has against what was found."""
        options = self.provider(environ).options
        problems = getattr(options, "problems", lambda: ())
        return next((f"{option} {sentence}" for option, sentence in problems()), None)


def variables() -> list[str]:
    """The variables that hold keys, of every kind that can be had by a key alone."""
    found = (getattr(kind, "key_variable", None) for kind in _kinds().values())
    return [variable for variable in found if isinstance(variable, str)]


def accesses(environ: Mapping[str, str] | None = None) -> tuple[list[Access], list[str]]:
    """The accounts that can be had; and a sentence on each that only a part of is there."""
    environ = os.environ if environ is None else environ
    found, halves = [], []
    for name, kind in _kinds().items():
        try:
            access = _by_key(name, kind, environ) or _by_itself(name, kind, environ)
            problem = access.problem(environ) if access is not None else None
        except Exception:  # a guest; the others are found all the same
            continue
        if access is not None and problem is None:
            found.append(access)
        elif access is not None:
            halves.append(f"{access.name} alone does not do: {problem}")
    return found, halves


def _kinds() -> dict[str, Any]:
    """The classes of all kinds that can be loaded."""
    found = {}
    for name, point in sorted(kinds("provider").items()):
        try:
            found[name] = point.load()
        except Exception:  # a guest's module may fail in any way
            continue
    return found


def _by_key(name: str, kind: Any, environ: Mapping[str, str]) -> Access | None:
    """By the key that the SDK of the service would take."""
    variable = getattr(kind, "key_variable", None)
    if not isinstance(variable, str) or not environ.get(variable, "").strip():
        return None
    known = {field.name: field for field in fields(kind.Options)}
    option = _key_option(kind.Options)
    address = getattr(kind, "address_variable", variable.removesuffix("_API_KEY") + "_BASE_URL")
    return Access(
        kind=name,
        variable=variable,
        option=option,
        address=address if environ.get(address) and "base_url" in known else None,
        is_needed=known[option].default is known[option].default_factory is MISSING,
    )


def _by_itself(name: str, kind: Any, environ: Mapping[str, str]) -> Access | None:
    """In the way that a kind without a key of its own knows."""
    options = kind.found(environ) if isinstance(kind, Findable) else None
    return None if options is None else Access(kind=name, options=options)


def _key_option(options: type) -> str:
    """The option that holds the key: `api_key`, else the only secret there is. Raises LookupError."""
    hints = get_type_hints(options)
    secrets = [name for name, hint in hints.items() if hint is Secret or Secret in get_args(hint)]
    if "api_key" in secrets:
        return "api_key"
    if len(secrets) != 1:
        raise LookupError(f"{options.__name__} has no option api_key, and {len(secrets)} other secrets")
    return secrets[0]
