"""A second host on this machine: a network namespace whose one link to the first can be cut, as a cable can."""

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.scenarios.tunnel import Tunnel, Way


class FarHost(Way):
    """Programs in it reach a PostgreSQL of the first host over a network of their own. Needs root, and `ip`."""

    def __init__(self, server: Path) -> None:
        self._name = f"milepost{os.getpid()}"
        self._link, self._far_link = f"mp{os.getpid()}", f"mf{os.getpid()}"
        self._network = f"10.231.{os.getpid() % 250}"
        self._server = server
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        ip("netns", "add", self._name)
        self._stack.callback(ip, "netns", "del", self._name)
        ip("link", "add", self._link, "type", "veth", "peer", "name", self._far_link, "netns", self._name)
        ip("addr", "add", f"{self._network}.1/24", "dev", self._link)
        ip("link", "set", self._link, "up")
        ip("-n", self._name, "addr", "add", f"{self._network}.2/24", "dev", self._far_link)
        ip("-n", self._name, "link", "set", self._far_link, "up")
        self._way = self._stack.enter_context(Tunnel(self._server, f"{self._network}.1"))
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def inside(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self._name)

    def url_of(self, url: str) -> str:
        return self._way.url_of(url)

    def cut(self) -> None:
        ip("link", "set", self._link, "down")

    def mend(self) -> None:
        ip("link", "set", self._link, "up")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def why_no_far_host() -> str:
    """Why there can be none here; empty where there can."""
    if shutil.which("ip") is None:
        return "needs the program ip (iproute2)"
    try:
        ip("netns", "add", name := f"milepost-probe{os.getpid()}")
        ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made here: {error.stderr.strip()}"
    return ""
