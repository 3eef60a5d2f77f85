"""`milepost tokens`: made, listed, revoked."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.interfaces.conftest import Milepost

DAY = timedelta(days=1)


def made(call: Milepost, *arguments: str) -> dict[str, object]:
    done = call("tokens", "create", *arguments, "-o", "json")
    assert done.code == 0, done.err
    found: dict[str, object] = done.json[0]
    return found


def test_a_token_is_shown_once(call: Milepost) -> None:
    token = made(call, "alice", "--role", "operator")

    listed = call("tokens", "list", "-o", "json")

    assert str(token["secret"]).startswith("mp_")
    assert str(token["secret"]) not in listed.out
    assert [(each["name"], each["role"], each["namespaces"]) for each in listed.json] == [("alice", "operator", None)]
    assert "secret" not in listed.json[0]


def test_quietly_nothing_but_the_secret_is_printed(call: Milepost) -> None:
    done = call("tokens", "create", "alice", "--role", "viewer", "-q")

    assert (len(done.out.splitlines()), done.out[:3], done.err) == (1, "mp_", "")


def test_people_are_told_what_they_have_made(call: Milepost) -> None:
    done = call("tokens", "create", "alice", "--role", "viewer", "-n", "Mine", "--expires", "30d", "-o", "table")

    assert done.out.startswith("Made token alice: viewer of Mine, until ")
    assert "not shown again" in done.err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), None),
        (("-n", "A"), ["A"]),
        (("--namespace", "A"), ["A"]),
        (("--namespaces", "B,A"), ["A", "B"]),
        (("--namespaces", "A", "--namespaces", "B", "-n", "C"), ["A", "B", "C"]),
    ],
)
def test_a_token_is_for_the_namespaces_that_the_command_line_names(
    call: Milepost, options: tuple[str, ...], expected: list[str] | None
) -> None:
    assert made(call, "alice", "--role", "viewer", *options)["namespaces"] == expected


def test_a_namespace_of_the_environment_says_nothing_about_a_token(
    call: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_NAMESPACE", "Mine")

    assert made(call, "alice", "--role", "viewer")["namespaces"] is None


def test_a_token_ends_when_it_is_told_to(call: Milepost) -> None:
    expires = datetime.fromisoformat(str(made(call, "alice", "--role", "viewer", "--expires", "30d")["expires"]))

    assert timedelta() <= datetime.now(UTC) + 30 * DAY - expires < DAY
    assert str(made(call, "bob", "--role", "viewer", "--expires", "2999-01-31T00:00:00Z")["expires"]).startswith("2999")


def test_a_revoked_token_stays_in_the_list_and_its_name_is_taken_for_ever(call: Milepost) -> None:
    made(call, "alice", "--role", "viewer")

    first, again = call("tokens", "revoke", "alice", "-o", "table"), call("tokens", "revoke", "alice", "-o", "table")

    assert (first.code, first.out) == (0, "Revoked token alice\n")
    assert (again.code, again.out) == (0, "Token alice was revoked already: nothing changed\n")
    assert call("tokens", "list", "-o", "json").json[0]["holds"] is False
    done = call("tokens", "create", "alice", "--role", "viewer", "-o", "json")
    assert (done.code, done.error["error"]) == (6, "refused")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", "a@b", "--role", "viewer"), 5),
        (("create", "system", "--role", "viewer"), 5),
        (("create", "", "--role", "viewer"), 5),
        (("create", "alice"), 5),
        (("create", "alice", "--role", "king"), 5),
        (("create", "alice", "--role", "viewer", "--namespaces", ","), 5),
        (("create", "alice", "--role", "viewer", "--namespaces", ""), 5),
        (("create", "alice", "--role", "viewer", "--namespaces", "A, ,B"), 5),
        (("create", "alice", "--role", "viewer", "--namespaces", "A", "--namespaces", " "), 5),
        (("create", "alice", "--role", "viewer", "--namespaces", "a b"), 5),
        (("create", "alice", "--role", "viewer", "--expires", "soon"), 5),
        (("create", "alice", "--role", "viewer", "--expires", "2020-01-01"), 5),
        (("create", "alice", "--role", "viewer", "--expires", "0d"), 5),
        (("revoke", "nobody"), 1),
    ],
)
def test_what_cannot_be_is_told_so(call: Milepost, arguments: tuple[str, ...], code: int) -> None:
    done = call("tokens", *arguments, "-o", "json")

    assert (done.code, done.out) == (code, "")
    assert done.error["message"]
    assert call("tokens", "list", "-q").out == ""


def test_the_list_for_people_has_no_secrets(call: Milepost) -> None:
    made(call, "alice", "--role", "viewer", "-n", "Mine", "--expires", "1d")
    made(call, "bob", "--role", "admin")
    call("tokens", "revoke", "bob")

    done = call("tokens", "list", "-o", "table")

    assert "mp_" not in done.out
    assert [line.split()[0] for line in done.out.splitlines()] == ["Name", "alice", "bob"]
