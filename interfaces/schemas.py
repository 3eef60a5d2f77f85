"""The published JSON schema of each document, made from the classes that are printed."""

from typing import Any, Final

from pydantic import TypeAdapter

from milepost.infrastructure.audit import export_format as x
from milepost.infrastructure.audit import seal as s
from milepost.infrastructure.audit.lines import Line
from milepost.interfaces import audit_documents as a
from milepost.interfaces import diff_documents as d
from milepost.interfaces import job_documents as j
from milepost.interfaces import observer_documents as o
from milepost.interfaces import prune_documents as p
from milepost.interfaces import result_documents as r
from milepost.interfaces import webhook_documents as w
from milepost.interfaces import why_documents as y
from milepost.interfaces.documents import Document, Failure

DOCUMENTS: Final[dict[str, type[Document] | type[Line]]] = {
    "command-result": r.CommandResult,
    "context": r.ContextDocument,
    "difference": a.DifferenceDocument,
    "diagnosis": o.DiagnosisDocument,
    "event": r.EventDocument,
    "event-store": r.EventStoreDocument,
    "event-store-state": r.EventStoreState,
    "export-end": x.ExportEnd,
    "export-event": x.ExportedEvent,
    "export-manifest": x.ExportManifest,
    "export-result": a.ExportResult,
    "failed-partition": o.FailedPartitionDocument,
    "failure": Failure,
    "import-result": a.ImportResult,
    "job": j.JobDocument,
    "job-diff": d.JobDiff,
    "job-type": r.JobTypeDocument,
    "namespace": r.NamespaceDocument,
    "new-token": r.NewTokenDocument,
    "observer": o.ObserverDocument,
    "observer-event": o.ObserverEventDocument,
    "observer-result": o.ObserverResult,
    "replayed-event": a.ReplayedEvent,
    "seal-end": s.SealEnd,
    "seal-head": s.SealedHead,
    "seal-manifest": s.SealManifest,
    "seal-result": a.SealResult,
    "prune-result": p.PruneResult,
    "run-comparison": d.RunComparison,
    "start-result": r.StartResult,
    "token": r.TokenDocument,
    "verification": a.VerificationDocument,
    "wait-result": r.WaitResult,
    "webhook": w.WebhookDocument,
    "webhook-message": w.WebhookMessage,
    "webhook-ping": w.PingResult,
    "why": y.WhyDocument,
    "worker": r.WorkerDocument,
}
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema_of(name: str) -> dict[str, Any]:
    """The JSON schema of the document of that name. Raises KeyError."""
    return {"$schema": DIALECT, **TypeAdapter(DOCUMENTS[name]).json_schema(by_alias=True, mode="serialization")}
