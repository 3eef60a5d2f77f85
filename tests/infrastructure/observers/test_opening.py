"""Applications are opened by many at once: each step of a job, and each worker, opens its own."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from milepost.infrastructure.observers import sources
from milepost.infrastructure.observers.sources import source_of_application
from tests.infrastructure.observers.accounts import Bank, open_accounts
from tests.infrastructure.observers.stage import bank_beside
from tests.stores import url_of


class Gates:
    """Lets everybody through: as in processes that know nothing of each other."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("lock", [threading.Lock(), Gates()], ids=["one process", "several"])
def test_an_application_on_postgresql_is_opened_by_many_at_once(
    lock: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_opening", lock)
    bank = bank_beside(url_of("server", tmp_path))
    open_accounts(bank, 3)

    def look(_: int) -> int:
        source = source_of_application(Bank, dict(bank.env))
        newest = source.newest()
        source.close()
        return newest

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(look, range(36))) == {3}
    bank.close()
