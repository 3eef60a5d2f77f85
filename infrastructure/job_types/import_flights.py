"""`import-flights`: every flight that left New York in 2013, as events of its aircraft, a step a day, exactly once."""

from collections.abc import Iterable
from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from milepost.domain.events import Policy
from milepost.infrastructure.flights.application import aggregate_ids, events_of, stored_events
from milepost.infrastructure.flights.dataset import installed_flights
from milepost.infrastructure.flights.tables import ImportedFlights
from milepost.infrastructure.job_types.job_type import JobType, Step, job_type
from milepost.infrastructure.running.step_context import StepContext

Month = Annotated[int, Field(ge=1, le=12)]


class ImportFlightsRequest(BaseModel):
    """Which part of 2013."""

    model_config = ConfigDict(extra="forbid")

    months: list[Month] = Field(default=list(range(1, 13)), min_length=1, description="1 to 12; all where not given")


@job_type("import-flights")
class ImportFlights(JobType[ImportFlightsRequest]):
    """Imports the flights that left New York in 2013 as events, one aggregate per aircraft."""

    # One day after the other: an aircraft's events must be recorded in the order in which it flew.
    policy = Policy(attempts=3, backoff_seconds=1.0, max_parallel_steps=1)

    def plan(self, request: ImportFlightsRequest) -> Iterable[Step]:
        for day in installed_flights().days(request.months):
            yield Step(day.isoformat(), {"day": day.isoformat()})

    def details(self, request: ImportFlightsRequest) -> str:
        months = sorted(set(request.months))
        return "all of 2013" if len(months) == 12 else ", ".join(f"2013-{month:02}" for month in months)

    def key(self, request: ImportFlightsRequest) -> str | None:
        return "flights"  # two at once would mix up the order of an aircraft's events

    def perform(self, step: StepContext[ImportFlightsRequest]) -> None:
        if step.checkpoint:
            return  # it was all there before the step could say so
        day = date.fromisoformat(step.arguments["day"])
        flights = installed_flights().flights_on(day)
        with step.database.read() as connection:
            versions = ImportedFlights(connection, step.database, step.namespace).versions(aggregate_ids(flights))
        # Made before the transaction, which holds up other writers. Nobody else writes flights: see `key`; and if
        # somebody did, the versions would collide, and the step would be tried again.
        events = stored_events(events_of(flights, versions))
        with step.transaction() as transaction:
            imported = ImportedFlights(transaction.connection, step.database, step.namespace)
            imported.create_tables()
            known = imported.has(day)
            if not known:
                imported.add(day, events)
            count, message = len(flights), "imported by an earlier job" if known else ""
            transaction.checkpoint({"flights": count}, done=count, total=count, unit="flights", message=message)
