"""What stands side by side stood there at one moment, whatever others write meanwhile."""

from milepost.infrastructure.audit.side_by_side import Cursors, Stored
from tests.infrastructure.event_store.scene import Scene

COUNTED = "SELECT count(*) FROM milepost_jobs"


def test_the_cursors_of_a_read_see_one_moment(scene: Scene) -> None:
    scene.start()
    with scene.store.database.read() as connection, Cursors(connection) as cursors:
        before = list(cursors.rows(COUNTED))
        scene.start()

        assert list(cursors.rows(COUNTED)) == before == [(1,)]


def test_rows_of_a_job_that_begins_meanwhile_do_not_stand_there_without_its_events(scene: Scene) -> None:
    scene.start()
    with scene.store.database.read() as connection, Cursors(connection) as cursors:
        assert list(cursors.rows(COUNTED)) == [(1,)]
        later = scene.start()

        assert Stored(cursors, only=str(later.id)).next_job() is None
