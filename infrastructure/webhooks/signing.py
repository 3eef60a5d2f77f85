"""Signatures by which a receiver knows who sent a message: Standard Webhooks, symmetric (standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final
from uuid import UUID, uuid5

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
SECRET_LEAST, SECRET_MOST = 24, 64  # bytes, says the standard


class SecretInvalid(ValueError):
    """No secret of the standard's form."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"The secret cannot be used: {cause}")


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The bytes to sign with. Raises SecretInvalid."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SecretInvalid("it is not base64") from error
    if not SECRET_LEAST <= len(key) <= SECRET_MOST:
        raise SecretInvalid(f"it has {len(key)} bytes, and must have {SECRET_LEAST} to {SECRET_MOST}")
    return key


def message_id(webhook: str, event_id: UUID) -> str:
    """The same whenever this event is sent to this webhook, so that a receiver knows a repeat.

    Not made from the event's place in its stream: in a store that was restored from a backup another event may take it.
    """
    return f"msg_{uuid5(UUID(webhook), str(event_id)).hex}"


def headers(secret: str, identity: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What a message carries beside its body. Raises SecretInvalid."""
    signed = f"{identity}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
