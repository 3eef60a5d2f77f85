"""A thread beside a worker that prunes by the rules of the settings: one rule, one worker at a time. See ADR/0021."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from milepost.domain.envelope import Origin
from milepost.infrastructure.audit.archiving import Archive, Archived, ArchiveFailed
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import CannotOpenDatabase, Database, DatabaseUnavailable
from milepost.infrastructure.event_store.pruning import Pruning
from milepost.infrastructure.retention.ledger import AGAIN_SECONDS, TROUBLE_SECONDS, Ledger
from milepost.infrastructure.retention.rules import RetentionRule

log = logging.getLogger("milepost.retention")

LOOK_SECONDS: Final = 5.0  # how often it looks whether a rule is due
AT_ONCE: Final = 1_000  # jobs, until it is said how many went
WITHIN_SECONDS: Final = 2.0  # likewise
LEAVING_SECONDS: Final = 10.0  # for a large archive; then it ends with its process, and nothing of that was pruned
ACTOR: Final = "retention"


class Retention:
    """All is done in `turn`, by one thread. `worker`: beside which it runs; `event_store`: what its files call it."""

    def __init__(
        self,
        database: Database,
        surroundings: Surroundings,
        rules: Sequence[RetentionRule],
        worker: str,
        event_store: str,
    ) -> None:
        self._database, self._surroundings, self._rules = database, surroundings, rules
        self._event_store = event_store
        self._pruning = Pruning(database, surroundings)
        self._ledger = Ledger(database, surroundings, worker)
        self._failing: set[str] = set()  # rules of which that was told
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="milepost-retention", daemon=True)

    def __enter__(self) -> "Retention":
        if self._rules:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(LEAVING_SECONDS)

    def turn(self) -> None:
        """Carry out what is due. Raises DatabaseUnavailable, CannotOpenDatabase; the next round goes on from there."""
        for rule in self._rules:
            if not self._closing.is_set() and self._ledger.take(rule.name):
                self._carry_out(rule)

    def _carry_out(self, rule: RetentionRule) -> None:
        """What goes wrong is this rule's alone: it is told, and tried again."""
        try:
            more = self._prune(rule)
        except (DatabaseUnavailable, CannotOpenDatabase):
            raise
        except ArchiveFailed as error:
            if rule.name not in self._failing:  # once, not at every try
                log.warning("retention %s: %s; it is tried again", rule.name, error)
            self._later(rule, str(error))
        except Exception as error:
            if rule.name not in self._failing:
                log.exception("retention %s: a defect; it is tried again", rule.name)
            self._later(rule, f"a defect: {type(error).__name__}: {error}")
        else:
            self._failing.discard(rule.name)
            self._ledger.leave(rule.name, trouble=None, in_seconds=0.0 if more else AGAIN_SECONDS)

    def _later(self, rule: RetentionRule, trouble: str) -> None:
        self._failing.add(rule.name)
        self._ledger.leave(rule.name, trouble=trouble, in_seconds=TROUBLE_SECONDS)

    def _prune(self, rule: RetentionRule) -> bool:
        """A part at a time, until nothing is left, or this is to end, or another has it; whether there is more."""
        origin = Origin(actor=ACTOR, source="worker", reason=rule.told)
        archive = None if rule.archive is None else self._archive(rule, rule.archive)
        while True:
            done = self._pruning.prune(
                rule.at(self._surroundings.now()),
                origin,
                limit=AT_ONCE,
                within_seconds=WITHIN_SECONDS,
                archive=archive,
            )
            jobs, events = sum(each.jobs for each in done.found), sum(each.events for each in done.found)
            if jobs:
                log.info("retention %s: pruned %s jobs with %s events", rule.name, f"{jobs:,}", f"{events:,}")
            ours = self._ledger.count(rule.name, jobs)
            if not (ours and done.more and jobs):
                return False
            if self._closing.is_set():
                return True

    def _archive(self, rule: RetentionRule, folder: Path) -> Archive:
        def told(kept: Archived) -> None:
            log.info("retention %s: archived %s jobs in %s", rule.name, f"{len(kept.versions):,}", kept.file)

        if not folder.is_dir():  # said before there is anything to archive
            raise ArchiveFailed(folder, "there is no such folder")
        return Archive(self._database, self._surroundings, folder, self._event_store, told)

    def _run(self) -> None:
        trouble = False
        while not self._closing.is_set():
            try:
                self.turn()
                trouble = False
            except (DatabaseUnavailable, CannotOpenDatabase) as error:
                if not trouble:  # once, not at every try
                    log.warning("retention waits: %s", error)
                trouble = True
            except Exception:
                if not trouble:
                    log.exception("retention: a defect; it is tried again")
                trouble = True
            self._closing.wait(LOOK_SECONDS)
