"""A token of one namespace learns nothing of another: its answers are the same whatever is there."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import pytest

from milepost.domain import commands as c
from milepost.infrastructure.event_store.store import WorkerRecord
from milepost.infrastructure.event_store.tokens import Role
from milepost.interfaces.http.app import routes
from tests.infrastructure.observers.accounts import Balances
from tests.infrastructure.observers.stage import bank_beside
from tests.interfaces.furniture import OPERATOR, WORKER, Furniture
from tests.interfaces.http import watched as observers
from tests.interfaces.http.served import MINE, STORE, THEIRS, Running, jobs_of, running, space_of
from tests.interfaces.http.watched import OBSERVERS, POISON
from tests.length import FULL

NOBODYS: Final = "01a20fc5-30da-77a1-8a2e-000000000000"
SAME_KEY: Final = "the-same-key"
# What depends on the moment, or names the request.
PASSING: Final = ("date", "x-request-id", "content-length")
RATES: Final = re.compile(
    r'"(itemsPerSecond|stepsPerSecond|etaSeconds|answeredInSeconds|checked|rate|now|own|silentSeconds)":[^,}]+'
)
MOMENTS: Final = re.compile(r'(?<="at":)"[^"]+"|[\d.,]+ (ms|s|min|h|times|\w+/s)\b')  # when it was asked
HOUR: Final = 3600.0


@dataclass(frozen=True)
class Both:
    """Two servers whose event stores differ in what the other namespace has; ids of mine, and of theirs."""

    without: Running
    with_theirs: Running
    secrets: dict[Role, str]
    mine: tuple[str, ...]
    theirs: tuple[str, ...]
    partition: str


def furnished(found: Furniture, worker: str) -> tuple[str, ...]:
    made = [
        found.completed(),
        found.with_failures(),
        found.failed(),
        found.stopped(),
        found.cancelled(),
        found.removed(),
        found.running(tags=("nightly",)),
        found.start("unknown-type"),
        found.start("self-test"),
    ]
    alone = WorkerRecord(worker, (), 1, datetime.now(UTC), host="desk", pid=1)
    found.store.register_worker(alone, HOUR)
    return tuple(str(job.id) for job in made)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    without, with_theirs = (tmp_path_factory.mktemp(name) / "jobs.sqlite" for name in ("without", "with"))
    mine, partition = furnish_mine(without)
    with running(f"sqlite:///{without}") as server:
        secrets = {role: server.token(role.name.lower(), role, MINE) for role in Role}
    shutil.copy(without, with_theirs)
    theirs = furnish_theirs(with_theirs)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(running(f"sqlite:///{path}", MILEPOST_OBSERVERS=OBSERVERS))
            for path in (without, with_theirs)
        ]
        yield Both(servers[0], servers[1], secrets, mine, theirs, partition)


def furnish_mine(path: Path) -> tuple[tuple[str, ...], str]:
    # Long ago: that a job has stalled is said after some seconds.
    found = Furniture(f"sqlite:///{path}", seconds_ago=HOUR / 6)
    # With slots for all: that workers are busy is no secret.
    worker = WorkerRecord(WORKER, ("self-test",), 1_000, datetime.now(UTC), host="somewhere", pid=1)
    found.store.register_worker(worker, HOUR)
    mine = furnished(found, "desk:1:mine")
    found.database.close()
    return mine, observers.furnish(found.database.url, MINE)


def furnish_theirs(path: Path) -> tuple[str, ...]:
    found = Furniture(f"sqlite:///{path}", THEIRS)
    theirs = furnished(found, "desk:1:theirs")
    command = c.StartJob(THEIRS, "self-test", {"steps": 1})
    job, _ = found.store.start(command, OPERATOR, SAME_KEY)
    found.database.close()
    bank = bank_beside(found.database.url)
    Balances.bank, Balances.poison = bank, {1, POISON}  # another event fails there
    observers.watch(found.database.url, THEIRS)
    bank.close()
    return (*theirs, str(job.id))


def seen(answer: httpx.Response) -> tuple[int, dict[str, str], str]:
    """All of it but what passes."""
    headers = {name: value for name, value in answer.headers.items() if name not in PASSING}
    return answer.status_code, headers, MOMENTS.sub("", RATES.sub(r'"\1":null', answer.text))


def questions(both: Both) -> Iterator[str]:
    """Every GET route that ends, with every name and id that there is, and filters that others' jobs would meet."""
    ids = (*both.mine, *both.theirs, NOBODYS)
    filters = [
        "",
        "limit=1",
        "live=true",
        "all=true",
        "tag=nightly",
        "type=unknown-type",
        "status=Removed",
        "order=oldest&limit=2",
        "since=2020-01-01T00:00:00Z",
    ]
    filters += [f"after={each}" for each in (both.mine[0], both.theirs[0], both.theirs[-1], NOBODYS)]
    for route in routes():
        if "GET" not in (route.methods or ()) or route.path.endswith("/stream"):
            continue
        names: dict[str, tuple[str, ...]] = {
            "event_store": ("default", "other"),
            "namespace": (MINE, THEIRS, "Nowhere"),
            "job_id": ids,
            "name": ("self-test", "unknown-type", "balances"),
            "observer": ("balances", "nobody"),
            "partition": (both.partition, "nothing"),
        }
        wanted = list(route.param_convertors)
        for values in product(*(names[each] for each in wanted)):
            if not {"other", "Nowhere"}.isdisjoint(values) and not {*ids[1:-1]}.isdisjoint(values):
                continue  # where nothing is, one of mine and one of nobody's say it
            path = route.path_format.format(**dict(zip(wanted, values, strict=True)))
            yield from (
                path + ("?" + each if each else "")
                for each in (filters if not {"job_id", "partition"} & {*wanted} else [""])
            )


@pytest.mark.parametrize("role", Role if FULL else [Role.ADMIN])  # who sees what all others see, and more
def test_every_answer_is_the_same_whatever_another_namespace_has(both: Both, role: Role) -> None:
    with both.without.asking(both.secrets[role]) as one, both.with_theirs.asking(both.secrets[role]) as other:
        for question in questions(both):
            assert seen(one.get(question)) == seen(other.get(question)), question


def test_the_two_event_stores_differ_to_those_who_may_see_all(both: Both) -> None:
    alone = both.without.token("all", Role.ADMIN)
    also = both.with_theirs.token("all", Role.ADMIN)
    with both.without.asking(alone) as one, both.with_theirs.asking(also) as other:
        for path in (
            f"{STORE}/namespaces",
            f"{STORE}/workers",
            jobs_of(THEIRS),
            f"{space_of(THEIRS)}/failed-partitions",
            "/metrics",
        ):
            assert one.get(path).text != other.get(path).text, path


COMMANDS: Final = ("stop", "resume", "cancel", "remove")


def asked(client: httpx.Client, namespace: str, job_id: str, command: str, **more: str) -> Any:
    answer = client.post(f"{jobs_of(namespace)}/{job_id}/{command}", json={"reason": "why"}, headers=more)
    return answer.status_code, json.loads(answer.text.replace(job_id, "ID"))


@pytest.mark.parametrize("headers", [{}, {"If-Match": '"1"'}, {"If-Match": '"1", "2"'}, {"Idempotency-Key": SAME_KEY}])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_on_anothers_job_is_answered_as_on_one_that_is_not_there(
    both: Both, command: str, headers: dict[str, str]
) -> None:
    with both.with_theirs.asking(both.secrets[Role.OPERATOR]) as client:
        expected = {each: asked(client, each, NOBODYS, command, **headers) for each in (MINE, THEIRS)}
        for job_id in both.theirs:
            for namespace in (MINE, THEIRS):
                assert asked(client, namespace, job_id, command, **headers) == expected[namespace]
    assert {status for status, _ in expected.values()} == {404}


def test_a_command_on_anothers_job_changes_nothing(both: Both) -> None:
    store = both.with_theirs.app.store
    before = store.versions([UUID(each) for each in both.theirs])
    with both.with_theirs.asking(both.secrets[Role.ADMIN]) as client:
        for job_id, command in product(both.theirs, COMMANDS):
            asked(client, MINE, job_id, command)

    assert store.versions([UUID(each) for each in both.theirs]) == before


def test_an_idempotency_key_of_another_namespace_is_a_new_one_here(both: Both) -> None:
    with both.with_theirs.asking(both.secrets[Role.OPERATOR], **{"Idempotency-Key": SAME_KEY}) as client:
        answer = client.post(jobs_of(MINE), json={"type": "self-test", "request": {"steps": 1}})

    assert answer.status_code == 201
    assert answer.json()["id"] not in both.theirs


def test_a_namespace_that_the_token_is_not_for_is_as_one_that_is_not_there(both: Both) -> None:
    with both.with_theirs.asking(both.secrets[Role.OPERATOR]) as client:
        found = [
            (answer.status_code, answer.text.replace(namespace, "NAME"))
            for namespace in (THEIRS, "Nowhere")
            for answer in (client.get(jobs_of(namespace)), client.post(jobs_of(namespace), json={"type": "self-test"}))
        ]

    assert found[:2] == found[2:]
    assert {status for status, _ in found} == {404}
