"""What runs observers outlives a server that is away, from its very beginning."""

from milepost.infrastructure.event_store.database import DatabaseUnavailable
from tests.infrastructure.observers.accounts import Bank, deposit, expected, open_accounts
from tests.infrastructure.observers.stage import Theatre
from tests.infrastructure.running.stage import turn_until
from tests.postgres import Postgres


def test_live_running_can_begin_while_its_server_is_away() -> None:
    server, bank = Postgres(), Bank()
    theatre = Theatre(server.url, bank)
    (ann,) = open_accounts(bank, 1)
    theatre.go(2)
    theatre.live.leave()
    deposit(bank, ann, 1)

    def handled() -> bool:
        theatre.stage.clock.pass_time(1.0)
        try:
            return theatre.read() == expected(bank)
        except DatabaseUnavailable:
            return False

    server.stop("fast")
    with theatre.another_live():
        server.start()
        turn_until(handled)

    theatre.close()
    bank.close()
    server.end()
