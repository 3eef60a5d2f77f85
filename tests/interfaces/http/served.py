"""A real server on a real port, in a thread of the test, and whoever asks it."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

from milepost.infrastructure.event_store.tokens import Role
from milepost.infrastructure.settings import resolve
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.http.app import Served
from milepost.interfaces.http.limits import Limits
from milepost.interfaces.http.server import Server, listening, url_of

STORE: Final = "/api/event-stores/default"
MINE: Final = "Default"
THEIRS: Final = "Other"
NO_LIMITS: Final = Limits(1_000_000.0, 1_000_000.0)
PATIENCE_SECONDS: Final = 60.0


def space_of(namespace: str) -> str:
    return f"{STORE}/namespaces/{namespace}"


def jobs_of(namespace: str) -> str:
    return f"{space_of(namespace)}/jobs"


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    served: Served
    url: str

    @property
    def app(self) -> Application:
        return self.served.app

    def token(self, name: str, role: Role, *namespaces: str, **more: Any) -> str:
        """A new one's secret."""
        return self.app.tokens.create(name, role, created_by="test", namespaces=namespaces or None, **more)

    def asking(self, secret: str | None = None, **headers: str) -> httpx.Client:
        """Whoever asks with this token."""
        sent = dict(headers) if secret is None else {"Authorization": f"Bearer {secret}", **headers}
        return httpx.Client(base_url=self.url, headers=sent, timeout=PATIENCE_SECONDS, trust_env=False, verify=False)


@contextmanager
def running(url: str, *, open_here: bool = False, limits: Limits = NO_LIMITS, **environ: str) -> Generator[Running]:
    app = Application(resolve(environ={"MILEPOST_URL": url, **environ}))
    served = Served(app, open_to_all_here=open_here, limits=limits)
    server = Server(served)
    with listening("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Running(served, url_of(listener))
        finally:
            server.leave()
            thread.join()
            app.close()
