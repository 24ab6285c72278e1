"""Every error that a contract can give is explained."""

from offchain.chain.contracts import ERRORS
from offchain.chain.explanations import SENTENCES, THE_TIME, explain
from offchain.domain.keccak import keccak


def test_every_error_has_its_sentence() -> None:
    names = [signature.partition("(")[0] for signature in ERRORS.signatures]
    assert sorted(SENTENCES) == sorted(dict.fromkeys(names))


def test_an_error_is_named_and_explained() -> None:
    assert explain(keccak(b"ZeroAmount()")[:4]) == "ZeroAmount(): the amount is zero; give one above zero"
    assert explain(b"") == "reverted without a reason"


def test_a_time_is_told_as_people_read_it() -> None:
    """Whose sentence speaks of the time given has one argument, in Unix seconds."""
    timed = [one for one in ERRORS.signatures if THE_TIME in SENTENCES[one.partition("(")[0]]]
    assert len(timed) >= 8
    for signature in timed:
        name, _, kind = signature.rstrip(")").partition("(")
        assert kind.startswith("uint") and "," not in kind, signature
        selector = keccak(signature.encode())[:4]
        told = explain(selector + (1_800_000_000).to_bytes(32))
        assert told.startswith(f"{name}(1800000000): ") and "2027-01-15 08:00:00 UTC" in told
        assert THE_TIME not in told
    no_time = keccak(b"DeadlinePassed(uint256)")[:4] + b"\xff" * 32
    assert explain(no_time).endswith("it was the time given; ask for a new signature")
