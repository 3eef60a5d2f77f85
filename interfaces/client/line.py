"""How a server is reached: its address, what is shown to it, how long to wait, and what its answers mean."""

import json
import ssl
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar, cast

import httpx

from milepost.infrastructure.server_url import ServerUrl
from milepost.interfaces.client.call import Call
from milepost.interfaces.client.errors import (
    WHICH_SERVER,
    CannotConnect,
    ClientError,
    InvalidInput,
    ServerFailed,
    of_problem,
)
from milepost.interfaces.documents import Json
from milepost.interfaces.result_documents import CommandResult

T = TypeVar("T")

# All that can go wrong on the way; the last is said of a host that cannot be written.
TROUBLE: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError)
MEDIA_TYPE: Final = "application/json"
CONNECT_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 45.0  # of a stream: the server gives a sign of life every 15
PAUSES: Final = (0.1, 0.5)  # before each further try
LONGEST_PAUSE: Final = 5.0  # that a server may ask for
BUSY: Final = 429
AWAY: Final = 503


class Line:
    """What both clients have in common. Raises ServerUrlInvalid, InvalidInput."""

    def __init__(self, url: str, token: str | None, *, seconds: float, plain_http: bool) -> None:
        self.url = ServerUrl.parse(url)
        if token is not None and (not token or not token.isascii() or not token.isprintable() or " " in token):
            raise InvalidInput("What was given as a token is none", "It is one word, as it was shown when it was made")
        if token and not (self.url.encrypted or self.url.is_loopback or plain_http):
            raise InvalidInput(
                f"The token would go to {self.url} unencrypted: anybody on the way could read and use it",
                "Use https; or a tunnel to this machine; or MILEPOST_PLAIN_HTTP=1 if you trust the network",
            )
        self.headers = {"Accept": MEDIA_TYPE, **({"Authorization": f"Bearer {token}"} if token else {})}
        self.timeout = httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
        # Making a context that knows whom to trust takes longer than most calls: one that trusts nobody does for http.
        self.verify: ssl.SSLContext | bool = self.url.encrypted or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # What goes to this machine itself goes through no proxy, whatever the environment says.
        self.trust_env = not self.url.is_loopback

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """The arguments of httpx for this call. Raises InvalidInput."""
        return {
            "method": call.method,
            "url": self.at(call.path),
            "params": list(call.params),
            "headers": dict(call.headers) if call.body is None else {**call.headers, "Content-Type": MEDIA_TYPE},
            "content": None if call.body is None else _encoded(call.body),
        }

    def at(self, path: str) -> str:
        return f"{self.url}{path}"

    def answer(self, call: Call[T], response: httpx.Response) -> T:
        """What was answered. Raises ClientError."""
        if not response.is_success:
            raise self.refusal(response)
        try:
            return call.read(response.json())
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            message = f"What answers at {self.url} is no Milepost server, or one of another version: {error}"
            raise ServerFailed(message, WHICH_SERVER, response.status_code) from error

    def refusal(self, response: httpx.Response) -> ClientError:
        """What an answer that is none tells."""
        if response.has_redirect_location:
            # Not followed: the token was not meant for anybody else.
            return ServerFailed(f"{self.url} sends to another address", WHICH_SERVER, response.status_code)
        try:
            body = response.json()
        except ValueError:
            body = None
        return of_problem(response.status_code, body, str(self.url))

    def unreachable(self, error: Exception, *, sent: bool = False) -> CannotConnect:
        """Why it cannot be reached; `sent`: it may have heard a command before."""
        cause = str(error) or type(error).__name__
        if isinstance(error, httpx.TimeoutException):
            cause = "it did not answer in time"
        outcome = " Whether it has done what was asked is not known." if sent else ""
        advice = (
            "Look whether it was done before you try again"
            if sent
            else "Check its URL, and whether 'milepost serve' runs"
        )
        return CannotConnect(f"The server at {self.url} cannot be reached: {cause}.{outcome}", advice)


def _encoded(body: Json) -> bytes:
    """Raises InvalidInput."""
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except RecursionError:
        raise InvalidInput("The request is nested too deeply", "Give it fewer levels") from None
    except (TypeError, ValueError) as error:  # what no JSON can say, as an infinite number
        raise InvalidInput(f"The request is not JSON: {error}", "Leave that out") from None


class Attempts(Generic[T]):
    """How often one call is tried: what may be asked twice is asked again where its answer was lost."""

    def __init__(self, line: Line, call: Call[T]) -> None:
        self._line, self._call = line, call
        self._pauses = list(PAUSES)
        self._lost = False  # an answer, so that the command may have been carried out

    def failed(self, error: Exception) -> float:
        """Seconds until the next try. Raises CannotConnect where there is none."""
        never_heard = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.InvalidURL | UnicodeError)
        if never_heard or not self._call.repeatable or not self._pauses:
            sent = (self._lost or not never_heard) and self._call.method != "GET"
            raise self._line.unreachable(error, sent=sent) from error
        self._lost = True
        return self._pauses.pop(0)

    def answered(self, response: httpx.Response) -> float | None:
        """None: this is the answer. Else the seconds until the next try: a busy server has done nothing."""
        later = response.status_code == BUSY or (response.status_code == AWAY and self._call.method == "GET")
        if not later or not self._pauses:
            return None
        asked = response.headers.get("retry-after", "")
        return max(self._pauses.pop(0), min(float(asked), LONGEST_PAUSE) if asked.isdigit() else 0.0)

    def answer(self, response: httpx.Response) -> T:
        """What was answered. Raises ClientError.

        A command that came before under a key that nobody else has was this one, whose answer was lost.
        """
        found = self._line.answer(self._call, response)
        if not (self._lost and self._call.own_key and isinstance(found, CommandResult) and found.repeated):
            return found
        did = f"Started {found.id}" if found.command == "start" else f"The {found.command} of {found.id} took effect"
        message = f"{did}: it is {found.status}. The first answer was lost"
        before = None if found.command == "start" else found.status_before
        return cast("T", replace(found, changed=True, repeated=False, status_before=before, message=message))
