"""The whole explanation of a job as a document."""

from milepost.domain.why.explain import explain
from milepost.domain.why.seen import Seen
from milepost.interfaces.why.chain_lines import left_out, line
from milepost.interfaces.why.moves import moves
from milepost.interfaces.why.pace_line import pace_line
from milepost.interfaces.why.sentence import sentence
from milepost.interfaces.why.words import moment
from milepost.interfaces.why_documents import WhyDocument


def why_document(seen: Seen) -> WhyDocument:
    """The whole explanation in words."""
    why = explain(seen)
    return WhyDocument(
        id=seen.id,
        type=seen.type,
        status=str(seen.status),
        version=seen.version,
        at=moment(seen.now),
        because=str(why.because),
        sentence=sentence(seen, why),
        chain=[line(seen, each) for each in why.chain.links],
        left_out=left_out(why.chain),
        moves=moves(seen, why),
        pace=None if why.pace is None else pace_line(seen, why.pace),
    )
