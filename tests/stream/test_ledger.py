"""The conservation law: received = published + no_face + dropped + in flight."""

from hypothesis import given
from hypothesis import strategies as st

from stream.ledger import Ledger

OUTCOMES = ("published", "no_face", "overload", "decode_error", "in_flight")


@given(st.lists(st.sampled_from(OUTCOMES), max_size=60))
def test_every_frame_is_accounted_for(outcomes: list[str]) -> None:
    ledger = Ledger()
    ledger.open("cam")
    for outcome in outcomes:
        if outcome == "decode_error":
            ledger.lost_in_source("cam", outcome, 1)
            continue
        ledger.received("cam")
        if outcome == "published":
            ledger.published("cam")
        elif outcome == "no_face":
            ledger.no_face("cam")
        elif outcome == "overload":
            ledger.dropped("cam", outcome)
    account = ledger.account("cam")
    assert account.received == len(outcomes)
    assert account.in_flight == outcomes.count("in_flight")
    assert account.dropped["overload"] == outcomes.count("overload")


def test_an_account_handed_out_is_a_copy() -> None:
    ledger = Ledger()
    ledger.open("cam")
    ledger.account("cam").dropped["overload"] += 5
    assert ledger.account("cam").dropped["overload"] == 0
