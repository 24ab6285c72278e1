"""Every error that a contract can give is explained."""

from offchain.chain.contracts import ERRORS
from offchain.chain.explanations import SENTENCES, explain
from offchain.domain.keccak import keccak


def test_every_error_has_its_sentence() -> None:
    names = [signature.partition("(")[0] for signature in ERRORS.signatures]
    assert sorted(SENTENCES) == sorted(dict.fromkeys(names))


def test_an_error_is_named_and_explained() -> None:
    assert explain(keccak(b"ZeroAmount()")[:4]) == "ZeroAmount(): the amount is zero; give one above zero"
    assert explain(b"") == "reverted without a reason"
