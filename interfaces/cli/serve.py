"""`milepost serve`: the HTTP API, by default with a worker beside it."""

from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

import typer

from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.worker_options import Slots
from milepost.interfaces.cli.worker_thread import WorkerThread
from milepost.interfaces.error_mapping import INVALID, Told

if TYPE_CHECKING:
    from milepost.interfaces.http.app import Served

app = new_app()

GRACE_SECONDS = 5  # for streams to end: they are told to, and come again elsewhere


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
        import uvicorn

        from milepost.interfaces.http.app import Served, build
        from milepost.interfaces.webhook_service import deliveries
    except ModuleNotFoundError as error:
        raise Told(INVALID, f"This needs more: {error}", "pip install 'milepost[server]'") from error
    open_here = _is_loopback(host) and not require_tokens
    served = Served(session.app, open_to_all_here=open_here)
    if not open_here and not served.has_tokens():
        raise Told(
            INVALID,
            f"Nobody could ask at {host}: it is open to other machines, and there is no token",
            "Make one first: 'milepost tokens create NAME --role admin'",
        )
    server = uvicorn.Server(
        uvicorn.Config(
            build(served),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    session.note(f"Serving event store {served.name} at http://{host}:{port}; Ctrl-C ends it")
    with deliveries(session.app):
        if not worker:
            _run(server, served)
            return
        with WorkerThread(session.app, "threads", slots, only=None):
            _run(server, served)


def _run(server: object, served: "Served") -> None:
    try:
        server.run()  # type: ignore[attr-defined]
    finally:
        served.close()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
