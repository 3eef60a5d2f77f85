"""`milepost jobs why`: why a job is as it is, and what would move it on."""

from typing import TYPE_CHECKING, Final

from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.jobs.filters import JobId
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import local
from milepost.interfaces.quantities import clean
from milepost.interfaces.why_documents import WhyDocument, WhyLink

if TYPE_CHECKING:
    from rich.console import RenderableType

app = new_app()

WHY_FACTS: Final[tuple[Column[WhyDocument], ...]] = (
    Column("Id", lambda why: why.id),
    Column("Status", lambda why: why.status),
    Column("Why", lambda why: why.sentence),
    Column("Because", lambda why: why.because),
    Column("Chain", lambda why: " → ".join(_told(each) for each in why.chain)),
    Column("Next", lambda why: "; ".join(each.text for each in why.moves)),
    Column("Pace", lambda why: why.pace.text if why.pace else None),
)


@command(app, "why")
def why_job(session: Session, job: JobId) -> None:
    """Say why a job is as it is: who and what led there, what would move it on, whether it advances."""
    job_id = session.service.resolve(job)
    why = session.service.why(job_id)
    session.out.one(why, WHY_FACTS, lambda each: each.id, lambda: why_view(why))


def why_view(why: WhyDocument) -> "RenderableType":
    """The sentence, then the chain, a line each, then what moves it on and its pace."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    chain = Table.grid(padding=(0, 2))
    chain.add_column(no_wrap=True, style="dim")
    chain.add_column(overflow="fold")
    for each in why.chain:
        chain.add_row(f"  {local(each.occurred)}", Text(clean(each.text)))
    rest = Table.grid(padding=(0, 1))
    rest.add_column(no_wrap=True, style="bold")
    rest.add_column(overflow="fold")
    if why.left_out:
        rest.add_row("", Text(f"and {why.left_out}", "dim"))
    if why.pace:
        rest.add_row("Pace:", Text(clean(why.pace.text)))
    rest.add_row("Next:", Text(clean("; ".join(each.text for each in why.moves))))
    return Group(Text(clean(why.sentence), "bold"), chain, rest)


def _told(link: WhyLink) -> str:
    return f"{link.occurred} {link.text}"
