"""`milepost serve`: the HTTP API, by default with a worker beside it."""

import sys
from contextlib import nullcontext
from ipaddress import ip_address
from typing import Annotated

import typer

from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.worker_options import Slots
from milepost.interfaces.cli.worker_thread import WorkerThread
from milepost.interfaces.error_mapping import INVALID, Told

app = new_app()

CONNECTIONS_KEPT = 10  # to make one anew for each request costs more than most requests
SWITCH_SECONDS = (
    0.000_5  # a thread that computes lets others in so often: Python's own 0.005 keeps every answer waiting
)


@command(app, "serve")
def serve(
    session: Session,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.", metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="The port.", metavar="N")] = 8400,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Whether to do jobs here, too.")] = True,
    require_tokens: Annotated[
        bool, typer.Option("--require-tokens", help="Also of programs on this machine. Else only others need one.")
    ] = False,
    slots: Slots = None,
) -> None:
    """Serve the HTTP API. On loopback it is open to this machine; on another address it asks for tokens."""
    try:
        from milepost.interfaces.http.app import Served
        from milepost.interfaces.http.server import Server, listening
    except ModuleNotFoundError as error:
        raise Told(INVALID, f"This needs more: {error}", "pip install 'milepost[server]'") from error
    session.app.connections_kept = CONNECTIONS_KEPT
    open_here = _is_loopback(host) and not require_tokens
    served = Served(session.app, open_to_all_here=open_here)
    if not open_here and not served.has_tokens():
        raise Told(
            INVALID,
            f"Nobody could ask at {host}: it is open to other machines, and there is no token",
            "Make one first: 'milepost tokens create NAME --role admin'",
        )
    sys.setswitchinterval(SWITCH_SECONDS)
    with listening(host, port) as listener:
        at = listener.getsockname()[1]
        session.note(f"Serving event store {served.name} at http://{host}:{at}; Ctrl-C ends it")
        with WorkerThread(session.app, "threads", slots, only=None) if worker else nullcontext():
            Server(served).run([listener])


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
