"""The cases: one file a kind below `cases/`, found by the kind's name."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ftwatch.client import Response
from ftwatch.plugins import ProviderSpec, kinds, load_kind

KINDS = sorted(kinds("provider"))


def case_of(kind: str) -> ModuleType:
    """What a kind is held to. A kind without a file is no kind."""
    path = Path(__file__).parent / "cases" / f"{kind}.py"
    assert path.exists(), f"write tests/providers/cases/{kind}.py: what `{kind}` is held to"
    spec = importlib.util.spec_from_file_location(f"ftwatch_case_{kind}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class NoClient:
    """Reading is pure: a kind that asks anybody anything here is caught."""

    async def request(self, *_: object, **__: object) -> Any:
        raise AssertionError("a parser asked the network")


class Service:
    """A client that answers from a list of (status, body as JSON), and keeps what it was asked."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []

    async def request(self, method: str, url: str, *, headers: dict[str, str], **_: object) -> Response:
        self.asked.append(f"{method} {url}")
        self.headers.append(headers)
        status, body = self.answers.pop(0)
        return Response(status, {}, json.dumps(body).encode())


class Maker:
    """Makes providers of any kind."""

    case = staticmethod(case_of)

    def __call__(self, kind: str, client: Any = None, **options: Any) -> Any:
        found = load_kind("provider", kind)
        spec = ProviderSpec(
            name="acme",
            kind=kind,
            labels={"env": "prod"},
            options=found.Options(**{**case_of(kind).OPTIONS, **options}),
            client=client or NoClient(),
        )
        return found(spec)


@pytest.fixture
def make() -> Maker:
    """Makes providers."""
    return Maker()


@pytest.fixture
def service() -> type[Service]:
    """Makes clients that answer as they are told."""
    return Service


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`kind`: every installed kind in turn; `word`, `trap`: each row of each kind's tables."""
    for name, table in (("word", "STATUSES"), ("trap", "TRAPS")):
        if name in metafunc.fixturenames:
            rows = [(kind, row) for kind in KINDS for row in getattr(case_of(kind), table)]
            metafunc.parametrize(("kind", name), rows, ids=[f"{kind}-{row}" for kind, row in rows])
            return
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", KINDS)
