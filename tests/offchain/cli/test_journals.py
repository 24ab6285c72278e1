"""What a replay says of the epochs on chain."""

from typing import Any

import pytest

from offchain.chain.contracts import OrderbookCommitment
from offchain.cli.journals import compare_epochs
from offchain.domain.batch import EpochHeader
from offchain.domain.units import Address

CONTRACT = Address("0x" + "c0" * 20)


def header(epoch: int, volume: int = 0) -> EpochHeader:
    word = f"0x{epoch:064x}"
    return EpochHeader(epoch, word, 2 * epoch - 1, 2 * epoch, word, word, word, volume, 1, word)


class Chain:
    """The commitments of these epochs."""

    def __init__(self, headers: list[EpochHeader]) -> None:
        self.headers = headers

    def call(self, contract: Address, function: Any, *arguments: int) -> tuple[Any, ...]:
        assert contract == CONTRACT
        if function is OrderbookCommitment.last_epoch:
            return (len(self.headers),)
        assert function is OrderbookCommitment.header_hash
        return (self.headers[arguments[0] - 1].hash(),)


@pytest.mark.parametrize("rebuilt", [1, 2, 3, 4])
def test_only_what_was_rebuilt_can_be_wrong(rebuilt: int) -> None:
    """A copy of the journal ends before the chain does, and a node closes epochs before they are committed."""
    chain: Any = Chain([header(1), header(2, volume=7), header(3)])
    wrong = [2] if rebuilt >= 2 else []
    assert compare_epochs(chain, CONTRACT, [header(epoch + 1) for epoch in range(rebuilt)]) == (3, wrong)
