"""Webhooks beside real jobs and real processes: nobody waits for a receiver, and a kill loses nothing."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import jsonschema
from standardwebhooks import Webhook as Verifier

from milepost.domain.envelope import Origin
from milepost.infrastructure.settings import resolve
from milepost.infrastructure.webhooks.signing import new_secret
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.cli.worker_thread import WorkerThread
from milepost.interfaces.schemas import schema_of
from milepost.interfaces.webhook_service import deliveries
from tests.infrastructure.webhooks.receiver import receiving
from tests.interfaces.conftest import TIME_OUT, Milepost

ON_ALL_STORES = True
ORIGIN = Origin("ann@desk", "cli")

# A process that does nothing but deliver, and whose lease is short.
DELIVERER = """
import signal
from milepost.infrastructure.settings import resolve
from milepost.infrastructure.webhooks.pace import Pace
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.webhook_service import deliveries

signal.signal(signal.SIGTERM, lambda *_: exit(0))
with deliveries(Application(resolve()), Pace(answer_seconds=0.5, hold_seconds=1.0)):
    signal.pause()
"""


def test_a_job_completes_while_its_receiver_hangs(call: Milepost) -> None:
    with receiving("hang", "hang") as bad, receiving() as good:
        call("webhooks", "add", bad.url, "--on", "started,completed", "--name", "bad")
        call("webhooks", "add", good.url, "--on", "started,completed", "--name", "good")
        app = Application(resolve())
        job, _ = app.store.start(app.job_types.start_command("self-test", {"steps": 2}, namespace="Default"), ORIGIN)
        with deliveries(app):
            bad.wait_until(lambda: bad.hanging == 1)
            with WorkerThread(app, "threads", 1, only=job.id):
                good.wait_until(lambda: len(good.requests) == 2)

        assert app.store.load(job.id).status == "CompletedSuccessfully"
        assert bad.requests == []  # it hangs to this moment
        app.close()
    told = [json.loads(each.body) for each in good.requests]
    assert [each["type"] for each in told] == ["job.started", "job.completed"]
    assert [each["data"]["job"]["status"] for each in told] == ["Pending", "CompletedSuccessfully"]
    for each in told:
        jsonschema.validate(each, schema_of("webhook-message"))
    assert told[1]["data"]["event"] == call("jobs", "history", str(job.id), "-o", "json").json[-1]


def test_a_process_that_is_killed_before_it_could_write_down_an_answer_loses_nothing(
    environment: Mapping[str, str], call: Milepost, tmp_path: Path
) -> None:
    """The receiver accepts the second event, and kills who sent it before that hears so."""
    killed: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", DELIVERER], env=dict(environment))

    def kill() -> int:
        killed[0].kill()
        killed[0].wait()
        return 204

    (tmp_path / "secret").write_text(new_secret())
    with receiving(204, kill) as receiver:
        call("webhooks", "add", receiver.url, "--on", "started", "--secret-file", str(tmp_path / "secret"))
        for _ in range(4):
            call("jobs", "start", "self-test")
        killed.append(start())
        receiver.wait_until(lambda: len(receiver.requests) == 2)
        successor = start()  # which waits for the lease of the dead one to run out
        try:
            receiver.wait_until(lambda: len(receiver.requests) == 5)
        finally:
            successor.terminate()
            successor.wait(TIME_OUT)

        ids = [each.id for each in receiver.requests]
        assert ids[1] == ids[2]
        assert len(set(ids)) == 4
        started = [each["id"] for each in call("jobs", "list", "--sort", "oldest", "-o", "json").json]
        told = dict.fromkeys(json.loads(each.body)["data"]["job"]["id"] for each in receiver.requests)
        assert list(told) == started
        for each in receiver.requests:
            Verifier((tmp_path / "secret").read_text()).verify(each.body, each.headers)
