"""A worker beside the main thread."""

from collections.abc import Mapping

import pytest

from milepost.infrastructure.settings import resolve
from milepost.interfaces import bootstrap
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.cli.worker_thread import WorkerThread

ON_ALL_STORES = True


def test_whatever_the_main_thread_meets_the_job_is_handed_back_and_nobody_waits_for_its_lease(
    environment: Mapping[str, str],
) -> None:
    app = Application(resolve())
    request = {"steps": 1, "items": 1000, "seconds": 0.05}
    order = app.job_types.start_command("self-test", request, namespace="Default")
    job, _ = app.store.start(order, bootstrap.origin())

    def meet() -> None:
        with WorkerThread(app, "threads", 1, only=job.id) as worker:
            while not app.store.load(job.id).in_flight:
                assert worker.alive
            raise RuntimeError("what the main thread meets")

    with pytest.raises(RuntimeError):
        meet()

    left = app.store.load(job.id)
    assert (left.status, left.worker, left.in_flight) == ("Pending", None, 0)
    assert app.queries.waiting([app.queries.job("Default", str(job.id))], bootstrap.now()) != {}
    app.close()
