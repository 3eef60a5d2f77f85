"""The published JSON schema of each document, made from the classes that are printed."""

from typing import Any, Final

from pydantic import TypeAdapter

from milepost.interfaces import job_documents as j
from milepost.interfaces import observer_documents as o
from milepost.interfaces import result_documents as r
from milepost.interfaces import webhook_documents as w
from milepost.interfaces.documents import Document, Failure

DOCUMENTS: Final[dict[str, type[Document]]] = {
    "command-result": r.CommandResult,
    "context": r.ContextDocument,
    "diagnosis": o.DiagnosisDocument,
    "event": r.EventDocument,
    "event-store": r.EventStoreDocument,
    "event-store-state": r.EventStoreState,
    "failed-partition": o.FailedPartitionDocument,
    "failure": Failure,
    "job": j.JobDocument,
    "job-type": r.JobTypeDocument,
    "namespace": r.NamespaceDocument,
    "new-token": r.NewTokenDocument,
    "observer": o.ObserverDocument,
    "observer-event": o.ObserverEventDocument,
    "observer-result": o.ObserverResult,
    "start-result": r.StartResult,
    "token": r.TokenDocument,
    "wait-result": r.WaitResult,
    "webhook": w.WebhookDocument,
    "webhook-message": w.WebhookMessage,
    "webhook-ping": w.PingResult,
    "worker": r.WorkerDocument,
}
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema_of(name: str) -> dict[str, Any]:
    """The JSON schema of the document of that name. Raises KeyError."""
    return {"$schema": DIALECT, **TypeAdapter(DOCUMENTS[name]).json_schema(by_alias=True, mode="serialization")}
