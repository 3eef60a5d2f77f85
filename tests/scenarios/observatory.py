"""A workshop with observers over the imported flights, and what can be seen of them."""

from uuid import UUID

from milepost.domain.commands import StopJob
from milepost.domain.envelope import Origin
from milepost.domain.observers.state import Observer as ObserverState
from milepost.domain.observers.state import ObserverStatus, Partition
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.schema import observer_partitions
from milepost.infrastructure.event_store.store import Situation
from milepost.infrastructure.flights.tables import flights_recorder
from milepost.infrastructure.observers.holding import Holding
from milepost.infrastructure.observers.reading import reading
from milepost.infrastructure.observers.row_values import partition_of_row
from milepost.infrastructure.observers.rows import ObserverRows, effects_transaction
from tests.scenarios.workshop import Workshop, eventually

OPERATOR = Origin("ann@desk", "cli")
NAMESPACE = "Default"


class Observatory(Workshop):
    """`modules`: of observers, by name, that its workers know beside those that are shipped."""

    def declare(self, **modules: str) -> None:
        """Workers that are started from now on know these."""
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(text)
        (self.folder / "milepost.toml").write_text(f"job_types = {list(modules)!r}\n".replace("'", '"'))

    def newest(self) -> int:
        recorder = flights_recorder(self.store.database, NAMESPACE)
        newest = recorder.max_notification_id() or 0
        getattr(recorder, "datastore").close()  # noqa: B009 - every SQL recorder has one
        return newest

    def register(self, *names: str) -> None:
        for name in names:
            with effects_transaction(self.store.database) as connection:
                ObserverRows(connection, NAMESPACE, name).register(OPERATOR, RealSurroundings())

    @property
    def operator(self) -> Holding:
        return Holding(self.store.database, NAMESPACE, RealSurroundings(), OPERATOR)

    def observer(self, name: str) -> ObserverState | None:
        with reading(self.store.database) as connection:
            return ObserverRows(connection, NAMESPACE, name).find()

    def position(self, name: str, *, beside: bool = False) -> int:
        """Up to where all slices of the generation that is read, or of the one beside it, have handled events."""
        with reading(self.store.database) as connection:
            rows = ObserverRows(connection, NAMESPACE, name)
            found = rows.find()
            if found is None or (beside and found.target is None):
                return 0
            generation = found.target if beside and found.target is not None else found.generation
            return min((each.position for each in rows.slices(generation)), default=0)

    def handled(self, name: str) -> int:
        with reading(self.store.database) as connection:
            rows = ObserverRows(connection, NAMESPACE, name)
            return sum(each.handled for each in rows.slices(rows.observer().generation))

    def partitions(self, name: str) -> int:
        """How many it has met."""
        with reading(self.store.database) as connection:
            rows = ObserverRows(connection, NAMESPACE, name)
            return rows.count_partitions(rows.observer().generation)

    def held(self, name: str) -> list[Partition]:
        """Those that do not go on with the others."""
        table = observer_partitions
        with reading(self.store.database) as connection:
            generation = ObserverRows(connection, NAMESPACE, name).observer().generation
            asked = table.select().where(
                table.c.observer == name, table.c.generation == generation, table.c.status.is_not(None)
            )
            return [partition_of_row(row) for row in connection.execute(asked).mappings()]

    def waiting(self, name: str, partition: str) -> int:
        with reading(self.store.database) as connection:
            rows = ObserverRows(connection, NAMESPACE, name)
            return rows.count_waiting(rows.observer().generation, partition)

    def until_at(self, name: str, position: int) -> None:
        """Live, and with everything up to there behind it."""

        def there() -> bool:
            found = self.observer(name)
            return found is not None and found.status is ObserverStatus.ACTIVE and self.position(name) >= position

        eventually(there, f"observer {name} has come to {position}\n{self.said}")

    def stop(self, job_id: UUID) -> None:
        """As `jobs stop` does, without a process that takes longer to begin than the job to end."""
        self.store.execute(NAMESPACE, job_id, _stop, OPERATOR)
        self.until_status(job_id, "Stopped")


def _stop(situation: Situation) -> StopJob:
    return StopJob(situation.worker_alive, situation.reached)
