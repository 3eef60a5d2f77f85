"""The address of a Milepost server, as it may be written: http or https, a host, perhaps a path, and no secrets."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

EXAMPLE: Final = "Write http://127.0.0.1:8400, or https://jobs.example.com"
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # one of a host's, between its dots


class ServerUrlInvalid(Exception):
    """What was given is no address of a server, or one that holds what does not belong into it."""

    def __init__(self, message: str, suggestion: str = EXAMPLE) -> None:
        self.message, self.suggestion = message, suggestion
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """Where a server is. `text` has no slash at its end."""

    text: str
    host: str
    encrypted: bool

    @classmethod
    def parse(cls, text: str) -> "ServerUrl":
        """Raises ServerUrlInvalid, whose message repeats no secret."""
        if not text:
            raise ServerUrlInvalid("The server's URL is empty", f"{EXAMPLE}; or leave it out")
        if any(character.isspace() or not character.isprintable() for character in text):
            raise ServerUrlInvalid("The server's URL holds a space or a control character")
        if set(text) & set("@?#"):  # whatever it may be: none of it is repeated
            raise ServerUrlInvalid(
                "The server's URL may hold no name, password, token or query",
                "Give the token in MILEPOST_TOKEN, or in a file that you alone may read",
            )
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise ServerUrlInvalid("The server's URL cannot be read: its host or its port is none") from None
        if parts.scheme not in ("http", "https") or not host:
            raise ServerUrlInvalid(
                "This is not the URL of a server: it does not begin with http:// or https:// and a host"
            )
        if not _is_host(host):
            raise ServerUrlInvalid(
                "The server's URL names no host: it is of letters, digits, '-' and '.', or an address"
            )
        return cls(text.rstrip("/"), host, parts.scheme == "https")

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there never leaves this machine."""
        if self.host == "localhost":  # other names may be anybody's, whatever they end with
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return self.text


def _is_host(host: str) -> bool:
    """A name, or an address."""
    if ":" in host:
        try:
            return isinstance(ip_address(host), IPv6Address)
        except ValueError:
            return False
    return len(host) <= 253 and all(_NAME.fullmatch(each) for each in host.removesuffix(".").split("."))
