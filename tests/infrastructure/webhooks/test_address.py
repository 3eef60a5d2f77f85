"""Which URLs messages may be sent to."""

import pytest

from milepost.infrastructure.webhooks.address import AddressRefused, check_address


@pytest.mark.parametrize(
    "url",
    ["https://example.org/hook", "https://example.org:8443/h?token=1", "http://localhost:1/", "http://127.0.0.1/x",
     "http://[::1]:80/x", "HTTPS://EXAMPLE.ORG"],
)  # fmt: skip
def test_https_anywhere_and_http_on_this_machine_will_do(url: str) -> None:
    assert check_address(url, allow_http=False)


@pytest.mark.parametrize("url", ["http://example.org/", "http://10.0.0.7/hook", "http://localhost.example.org/"])
def test_http_to_another_machine_must_be_allowed(url: str) -> None:
    with pytest.raises(AddressRefused, match="everybody on the way"):
        check_address(url, allow_http=False)

    assert check_address(url, allow_http=True)


@pytest.mark.parametrize("url", ["https://ann:secret@example.org/", "https://ann@example.org/", "http://:x@127.0.0.1/"])
def test_a_name_or_a_password_in_the_url_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused, match="name or a password"):
        check_address(url, allow_http=True)


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "ftp://example.org/", "https://", "https:///hook", "file:///etc/passwd", "https://[::1",
     "https://exa mple.org:port/", "https://example.org/" + "x" * 2000, "https://\u2603\u0000.org/"],
)  # fmt: skip
def test_what_is_no_url_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused, match="Nothing can be sent"):
        check_address(url, allow_http=True)
