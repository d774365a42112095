"""When nobody could look: ftwatch's own absence by its store, a provider's by its failures."""

from pathlib import Path
from typing import Any

from ftwatch.config import ProviderConfig
from ftwatch.core.event import Gap
from ftwatch.core.route import Routing
from ftwatch.plugins import ProviderError
from ftwatch.poller.health import Health
from ftwatch.poller.ledger import Ledger
from ftwatch.store import Store, inline

NOW = 1_795_000_000.0


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> float:
        return self.at

    def ticks(self) -> float:
        return self.at - NOW + 5.0

    def luck(self) -> float:
        return 0.5


def test_an_absence_lasts_from_the_last_sign_of_life_to_the_next_start(tmp_path: Path) -> None:
    for start, end in ((NOW, NOW + 100), (NOW + 120, NOW + 500), (NOW + 5000, NOW + 6000)):
        store = Store(tmp_path / "ftwatch.db")
        store.wake(start)
        store.mark(end)
        store.close()
    store = Store(tmp_path / "ftwatch.db")
    # A restart is none, and neither is the very first start.
    assert store.gaps.known == (Gap(since=int(NOW) + 500, until=int(NOW) + 5000, cause="down"),)
    store.wake(NOW + 6000 - 3600)
    assert len(store.gaps.known) == 1, "a clock that was set back is no absence"
    store.close()


def health_of(store: Store, clock: Any) -> tuple[Health, Ledger]:
    config = ProviderConfig(name="p", kind="toy")
    ledger = Ledger(config, store, inline, routing=Routing(), rules=(), clock=clock, bell=lambda owed: None)
    return Health(config, ledger, clock), ledger


async def test_an_outage_lasts_from_the_first_failure_to_the_next_good_look(tmp_path: Path) -> None:
    store, clock = Store(tmp_path / "ftwatch.db"), Clock()
    health, ledger = health_of(store, clock)
    health.good()
    clock.at += 30
    await health.failed(ProviderError("HTTP 503"))
    clock.at += 20
    health.good()
    assert ledger.gaps == (), "a hiccup hides nothing"
    await health.failed(ProviderError("HTTP 503"))
    clock.at += 3600
    await health.failed(ProviderError("HTTP 503"))
    clock.at += 100
    health.good()
    begun = int(NOW) + 50
    assert ledger.gaps == (Gap(since=begun, until=begun + 3700, cause="unanswered"),)
    health.good()
    assert len(ledger.gaps) == 1
    clock.at += 10
    await health.failed(ProviderError("HTTP 401", denied=True))
    clock.at += 600
    health.good()
    assert [gap.cause for gap in ledger.gaps] == ["unanswered", "denied"]
    store.close()


async def test_an_outage_may_be_older_than_the_process(tmp_path: Path) -> None:
    store, clock = Store(tmp_path / "ftwatch.db"), Clock()
    health, ledger = health_of(store, clock)
    await health.failed(ProviderError("HTTP 503"))
    clock.at += 400
    await health.failed(ProviderError("HTTP 503"))
    assert ledger.state.degraded_at == NOW + 400
    clock.at += 10_000
    health, ledger = health_of(store, clock)
    await ledger.open()
    await health.failed(ProviderError("HTTP 503"))
    clock.at += 100
    health.good()
    assert ledger.gaps == (Gap(since=int(NOW) + 400, until=int(NOW) + 10_500, cause="unanswered"),)
    store.close()
