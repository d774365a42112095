"""The vendors' own clients and fakes as oracles, which `make oracles` installs.

`oracle("together")` gives a vendor's package; where it is not installed, the tests of the module that
asks for it are left out, and the end of the run says so, loudly.
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def oracle() -> Callable[[str], ModuleType]:
    """Gives a vendor's package by its import name."""

    def find(name: str) -> ModuleType:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            pytest.skip(f"LEFT OUT: `{name}` is not installed; `make oracles` brings it")

    return find
