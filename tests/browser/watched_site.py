"""A site whose worker runs observers of an application's events, and what a test does there beside the browser."""

import shutil
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from tests.browser import ledgers
from tests.browser.site import Site

NAMESPACE = "Default"  # where a worker registers its observers


class WatchedSite(Site):
    """An event store with observers, and a bank whose events they handle."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        shutil.copy(ledgers.__file__, folder / "ledgers.py")
        with (folder / "milepost.toml").open("a") as settings:
            settings.write('observers = ["ledgers"]\n')
        self.gate = folder / ledgers.GATE.name
        self.mended = folder / ledgers.MENDED.name
        self._ledgers = _by_its_own_name()
        self.bank = self._ledgers.Bank({"SQLITE_DBNAME": str(folder / "bank.sqlite")})

    def account(self, *amounts: int, owner: str = "ann") -> str:
        """A new one, with a deposit of each amount."""
        account = self._ledgers.Account(owner)
        for amount in amounts:
            account.deposit(amount)
        self.bank.save(account)
        return str(account.id)

    def close(self) -> None:
        self.gate.unlink(missing_ok=True)
        super().close()
        self.bank.close()


@cache
def _by_its_own_name() -> Any:
    """The module by the name that its copy has for the worker: so are its events stored."""
    spec = spec_from_file_location("ledgers", ledgers.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["ledgers"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
