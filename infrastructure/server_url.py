"""The address of a Milepost server, as it may be written: http or https, a host, perhaps a path, and no secrets."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

EXAMPLE = "Write http://127.0.0.1:8400, or https://jobs.example.com"


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
        if any(character.isspace() or not character.isprintable() for character in text):
            raise ServerUrlInvalid("The server's URL holds a space or a control character")
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise ServerUrlInvalid(f"The server's URL cannot be read: {error}") from None
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ServerUrlInvalid(
                f"The server's URL may hold no name, password, token or query: '{parts.scheme}://{host}' is enough",
                "Give the token in MILEPOST_TOKEN, or in a file that you alone may read",
            )
        if parts.scheme not in ("http", "https") or not host:
            raise ServerUrlInvalid(f"'{text}' is not the URL of a server")
        return cls(text.rstrip("/"), host, parts.scheme == "https")

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there never leaves this machine."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return self.text
