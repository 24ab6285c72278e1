"""The local book and the bookkeeping of a stream, against every order of messages."""

from hypothesis import given
from hypothesis import strategies as st

from offchain.client.book import LocalBook
from offchain.client.stream import Progress


def snapshot(sequence: int, bids=(), asks=()) -> dict:
    book = LocalBook()
    message = {"channel": "book", "type": "snapshot", "seq": sequence, "bids": list(bids), "asks": list(asks)}
    book.apply(message | {"checksum": 0})
    return message | {"checksum": book.checksum()}


def test_decimals_are_ordered_as_numbers() -> None:
    book = LocalBook()
    prices = ["9.5", "10", "9.05", "9", "100.1", "0.5", "9.45"]
    book.apply(snapshot(1, bids=[[price, "1"] for price in prices]))
    assert [level[0] for level in book.levels("bids")] == ["100.1", "10", "9.5", "9.45", "9.05", "9", "0.5"]
    assert [level[0] for level in book.levels("bids", 2)] == ["100.1", "10"]


def test_a_gap_and_a_wrong_checksum_are_noticed() -> None:
    book = LocalBook()
    assert not book.apply({"type": "delta", "seq": 2, "prevSeq": 1, "bids": [], "asks": [], "checksum": 0})
    assert book.apply(snapshot(5, bids=[["1", "1"]]))
    delta = {"type": "delta", "seq": 9, "prevSeq": 7, "bids": [], "asks": [], "checksum": book.checksum()}
    assert not book.apply(delta)
    assert book.apply(delta | {"prevSeq": 5})
    assert book.apply(delta), "an old message changes nothing"
    assert not book.apply({"type": "delta", "seq": 10, "prevSeq": 9, "bids": [["1", "2"]], "asks": [], "checksum": 1})


@given(st.lists(st.sampled_from(["deliver", "lose", "repeat"]), max_size=60))
def test_progress_passes_every_message_once_or_asks_for_a_snapshot(faults) -> None:
    """A reader that applies what `take` passes always holds a prefix of the truth, or knows that it has to ask."""
    progress, held, truth, previous = Progress(), None, 0, 0
    assert progress.take({"channel": "c", "type": "snapshot", "seq": 0}) == "next"
    held = 0
    for fault in faults:
        previous, truth = truth, truth + 1
        message = {"channel": "c", "type": "delta", "seq": truth, "prevSeq": previous}
        if fault == "lose":
            continue
        for _ in range(2 if fault == "repeat" else 1):
            verdict = progress.take(message)
            if verdict == "next":
                assert held == previous
                held = truth
            elif verdict == "gap":
                assert held < previous
                assert progress.take({"channel": "c", "type": "snapshot", "seq": truth}) == "next"
                held = truth
            else:
                assert held == truth
    assert progress.seen.get("c") == held
