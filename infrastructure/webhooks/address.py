"""Which addresses messages may be sent to."""

from ipaddress import ip_address
from typing import Final

import httpx

LONGEST: Final = 2_000  # characters


class AddressRefused(Exception):
    """Not sent to; says why, and what to do."""

    def __init__(self, cause: str, suggestion: str) -> None:
        self.suggestion = suggestion
        super().__init__(f"Nothing can be sent to that URL: {cause}")


def check_address(url: str, *, allow_http: bool) -> str:
    """Its host. Raises AddressRefused."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise AddressRefused(str(error), "Write https://HOST/PATH") from error
    if parsed.scheme not in ("https", "http") or not parsed.host:
        raise AddressRefused("it is none of https://HOST/PATH", "Write https://HOST/PATH")
    if len(url) > LONGEST or not url.isprintable():
        raise AddressRefused(f"it is longer than {LONGEST:,} characters, or not text", "Write https://HOST/PATH")
    if parsed.userinfo:
        raise AddressRefused(
            "it has a name or a password in it, which would be kept and shown",
            "Leave them out: the receiver knows us by the signature",
        )
    if parsed.scheme == "http" and not allow_http and not is_here(parsed.host):
        raise AddressRefused(
            "http can be read by everybody on the way, and this is not this machine",
            "Write https://, or give --allow-http where the network is your own",
        )
    return parsed.host


def is_here(host: str) -> bool:
    """Whether it is this machine by its very name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
