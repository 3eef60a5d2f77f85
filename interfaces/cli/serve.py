"""`milepost serve`: the HTTP API, by default with a worker beside it."""

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Final

import typer

from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.worker_options import A_DAY, Slots
from milepost.interfaces.cli.worker_thread import WorkerThread
from milepost.interfaces.error_mapping import INVALID, Told

if TYPE_CHECKING:
    from milepost.interfaces.http.app import Served

app = new_app()

# A thread that computes lets others in so often; Python's own 0.005 keeps every answer waiting.
SWITCH_SECONDS: Final = 0.000_5
MOST_REQUESTS: Final = 1_000_000


@command(app, "serve")
def serve(
    session: Session,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.", metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="The port; 0 is any that is free.", metavar="N")
    ] = 8400,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Whether to do jobs here, too.")] = True,
    require_tokens: Annotated[
        bool, typer.Option("--require-tokens", help="Also of programs on this machine. Else only others need one.")
    ] = False,
    requests_per_second: Annotated[
        float,
        typer.Option(
            "--requests-per-second", min=1, max=MOST_REQUESTS, help="Of one caller, in the long run.", metavar="N"
        ),
    ] = 500.0,
    slots: Slots = None,
    grace_seconds: Annotated[
        float,
        typer.Option(
            "--grace-seconds", min=0, max=A_DAY, help="When told to end, how long to wait for steps to come to rest."
        ),
    ] = 30.0,
) -> None:
    """Serve the HTTP API. On loopback it is open to this machine; on another address it asks for tokens."""
    try:
        from milepost.interfaces.http.access import is_loopback
        from milepost.interfaces.http.app import Served
        from milepost.interfaces.http.limits import Limits
        from milepost.interfaces.http.server import Server, listening, url_of
        from milepost.interfaces.webhook_service import deliveries
    except ModuleNotFoundError as error:
        raise Told(INVALID, f"This needs more: {error}", "pip install 'milepost[server]'") from error
    sys.setswitchinterval(SWITCH_SECONDS)
    with listening(host, port) as listener:
        # What the name of the host has led to, not what it looks like.
        open_here = is_loopback(listener.getsockname()[0]) and not require_tokens
        served = Served(session.app, open_to_all_here=open_here, limits=Limits(requests_per_second))
        _refuse_without_tokens(served, host)
        server = Server(served)
        beside = (
            WorkerThread(session.app, "threads", slots, only=None, grace_seconds=grace_seconds, when_over=server.leave)
            if worker
            else None
        )
        with deliveries(session.app), beside or nullcontext():
            if beside is not None:
                server.when_leaving(beside.hand_back)
            asks = "open to this machine" if open_here else "for those who have a token"
            session.note(f"Serving event store {served.name} at {url_of(listener)}; {asks}; Ctrl-C ends it")
            server.run([listener])


def _refuse_without_tokens(served: "Served", host: str) -> None:
    """Raises Told."""
    if not served.open_to_all_here and not served.has_tokens():
        raise Told(
            INVALID,
            f"Nobody could ask at {host}: it asks for tokens, and there is none that holds",
            "Make one first: 'milepost tokens create NAME --role admin'",
        )
