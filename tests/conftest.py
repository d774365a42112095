"""What several test modules need: a clock that stands still until told, an authority of our own."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from ftwatch.store import Store

# Whether a test passes must not depend on how busy the machine is.
settings.register_profile("ftwatch", deadline=None)
settings.load_profile("ftwatch")

# Files that take minutes begin first: each runs in one process, and at the end the others would wait for it.
LONGEST = {
    "test_planted.py",
    "test_promises.py",
    "test_upgrades.py",
    "test_demo.py",
    "test_strings.py",
    "test_canary.py",
    "test_daemon.py",
    "test_live.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


class StillClock:
    """A clock for tests: time passes only when somebody says so."""

    def __init__(self) -> None:
        self.time = 1_795_000_000.0

    def now(self) -> float:
        return self.time

    def ticks(self) -> float:
        return self.time - 1_794_000_000.0

    def luck(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "ftwatch.db")
    yield store
    store.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority nobody knows (`ca.pem`), and what it signed: `server.pem` for 127.0.0.1, and
    `client.pem`, each with its key beside it (`client.key`).
    """
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("authority")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    signed = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key"]
    for name, subject, more in (
        ("ca", "/CN=authority", []),
        ("server", "/CN=127.0.0.1", [*signed, "-addext", "subjectAltName=IP:127.0.0.1"]),
        ("client", "/CN=watcher", signed),
    ):
        files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
        command = ["openssl", "req", "-x509", "-days", "2", *key, "-subj", subject, *files, *more]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says loudly what was left out because something is not installed or may not be used here."""
    left_out = sorted({str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ())})
    if left_out:
        terminalreporter.section("left out", red=True)
        for reason in left_out:
            terminalreporter.line(reason.removeprefix("Skipped: "))
