"""Whoever reads for long holds up the swap of a generation, and does not have it fail."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.observers.generations import Generation
from milepost.infrastructure.observers.reading import reading
from tests.infrastructure.observers.accounts import Balances, balances, deposit, expected, open_accounts
from tests.infrastructure.observers.stage import NAMESPACE, Theatre
from tests.infrastructure.running.stage import turn_until

pytestmark = pytest.mark.parametrize("theatre", ["server"], indirect=True)


def test_a_swap_waits_for_a_reader_and_lets_others_pass(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, 2, 3)
    theatre.go(2)
    with _tries_to_swap() as tries, _reader(theatre):
        job_id = theatre.start("replay-observer", beside=True)
        turn_until(lambda: len(tries) > 1 or theatre.stage.at_rest(job_id), theatre.worker)

    assert theatre.stage.finish(job_id, theatre.worker) is JobStatus.COMPLETED_SUCCESSFULLY
    assert theatre.observer.generation == 2
    assert theatre.read() == expected(theatre.bank)


def test_a_job_that_waits_for_a_reader_can_be_cancelled(theatre: Theatre) -> None:
    theatre.go()
    with _tries_to_swap() as tries, _reader(theatre):
        job_id = theatre.start("replay-observer", beside=True)
        turn_until(lambda: bool(tries) or theatre.stage.at_rest(job_id), theatre.worker)
        theatre.stage.cancel(job_id)
        assert theatre.stage.finish(job_id, theatre.worker) is JobStatus.CANCELLED

    assert theatre.observer.job is None
    assert theatre.observer.generation == 1


@contextmanager
def _reader(theatre: Theatre) -> Generator[None]:
    with reading(theatre.stage.database) as connection:
        connection.execute(sa.select(Generation(Balances.tables, NAMESPACE).table(balances))).all()
        yield


@contextmanager
def _tries_to_swap() -> Generator[list[str]]:
    tries: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "DROP TABLE" in statement and "__" not in statement:
            tries.append(statement)

    event.listen(sa.Engine, "before_cursor_execute", hear)
    try:
        yield tries
    finally:
        event.remove(sa.Engine, "before_cursor_execute", hear)
