"""Messages are signed as Standard Webhooks says, by the judgement of the standard's own library."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.webhooks.signing import SecretInvalid, headers, key_of, message_id, new_secret

WEBHOOK = "01a20fb4-c836-765d-92e7-d0db03142bce"


def now() -> int:
    return int(RealSurroundings().now().timestamp())


@given(st.text(max_size=200))
def test_the_standards_library_accepts_what_is_signed(text: str) -> None:
    secret, body = new_secret(), json.dumps({"said": text}).encode()

    Webhook(secret).verify(body, headers(secret, "msg_1", now(), body))
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers(secret, "msg_1", now(), body))


def test_a_message_signed_with_another_secret_or_long_ago_is_refused() -> None:
    secret = new_secret()

    for signed in (headers(new_secret(), "msg_1", now(), b"{}"), headers(secret, "msg_1", now() - 3600, b"{}")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(b"{}", signed)


def test_a_secret_may_be_given_with_or_without_its_prefix() -> None:
    secret = new_secret()

    assert key_of(secret) == key_of(secret.removeprefix("whsec_"))
    assert len(key_of(secret)) == 32


@pytest.mark.parametrize("size", [0, 23, 65])
def test_a_secret_that_is_too_short_or_too_long_is_refused(size: int) -> None:
    with pytest.raises(SecretInvalid, match=f"it has {size} bytes"):
        key_of(base64.b64encode(b"x" * size).decode())


@pytest.mark.parametrize("secret", ["whsec_äöü", "whsec_not base64!", "whsec_abc"])
def test_a_secret_that_is_not_base64_is_refused(secret: str) -> None:
    with pytest.raises(SecretInvalid, match="not base64"):
        key_of(secret)


def test_a_message_has_the_same_id_each_time_and_another_for_each_event_and_webhook() -> None:
    one, two, other = (RealSurroundings().new_id() for _ in range(3))

    assert message_id(WEBHOOK, one) == message_id(WEBHOOK, one)
    assert len({message_id(WEBHOOK, one), message_id(WEBHOOK, two), message_id(str(other), one)}) == 3
