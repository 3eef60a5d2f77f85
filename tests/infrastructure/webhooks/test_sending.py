"""How a message travels."""

import gc

import pytest

from milepost.infrastructure.webhooks.sending import Message, Sender
from tests.infrastructure.webhooks.receiver import receiving


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_message_to_this_machine_goes_through_no_proxy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with receiving() as receiver, receiving(502) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        sender = Sender(5.0, 15.0)
        try:
            here = sender.send(Message(receiver.url.replace("127.0.0.1", host), {"webhook-id": "a"}, b"{}")).result()
            elsewhere = sender.send(Message("http://hooks.invalid/", {"webhook-id": "b"}, b"{}")).result()
        finally:
            sender.close()

        assert (here.status, elsewhere.status) == (204, 502)
        assert [each.id for each in receiver.requests] == ["a"]
        assert [each.id for each in proxy.requests] == ["b"]


def test_a_sender_may_be_closed_at_any_moment_of_a_connection() -> None:
    with receiving() as receiver:
        for number in range(40):
            sender = Sender(5.0, 15.0)
            answers = [sender.send(Message(receiver.url, {"webhook-id": "a"}, b"{}")) for _ in range(number)]
            sender.close()

            assert all(each.done() for each in answers)
        gc.collect()  # what was never awaited is said of now, and fails the test
