"""The liquidate keeper: positions that fell below their maintenance ratio, closed with the liquidator's own synth.

Invariant: it only asks SynthIssuer to do what anyone may ask; whether a position may be liquidated, at which price and
for how much, is decided there. The synth that it burns leaves its own Vault account, so that it needs the exchange's
countersignature (`--api`). A position that is worth less than its debt goes to the insurance account, which costs only
gas. Deliberately no trading: the operator keeps the account stocked with synths, and sells what it earns.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import structlog

from keepers.lease import KeptLease
from keepers.trial import try_out
from offchain.chain import rpc as questions
from offchain.chain.contracts import SynthIssuer, Vault
from offchain.chain.registry import Registry, check_contracts
from offchain.chain.rpc import Query, Rpc, RpcRefused
from offchain.chain.transactions import Sender
from offchain.domain.errors import HooatsError, InvalidInput
from offchain.domain.units import Address, from_hex
from offchain.storage.ops import Ops
from offchain.storage.transactions import TransactionState

KIND = "liquidation"
POSITIONS_PER_CALL = 100
RETRY_SECONDS = 15
"""After a refusal, by the chain's time: the price, the grace or the countersignature may change."""
LIQUIDATION_GAS = 700_000

_log = structlog.get_logger()


class Granted(Protocol):
    """A countersignature, as `offchain.client` gives it."""

    nonce: str
    deadline: int
    signature: str | None


class Countersigner(Protocol):
    """The part of `offchain.client.HooatsClient` that this keeper uses."""

    async def approval(self, purpose: str, token: str, amount: str) -> Granted: ...

    async def close(self) -> None: ...


class Weak(NamedTuple):
    """A position that may be liquidated now. `debt` is what the contract lets a liquidator repay; 0 if its collateral
    is worth less than its debt, and the position is for the insurance account. All in atoms."""

    synth: Address
    symbol: str
    account: Address
    debt: int
    is_busy: bool
    """A transaction about it is in flight."""


class Observation(NamedTuple):
    """`stock`: synth atoms in the liquidator's Vault account, by token."""

    weak: tuple[Weak, ...]
    stock: dict[Address, int]
    room: int


class Liquidate(NamedTuple):
    position: Weak
    debt: int


class Absorb(NamedTuple):
    position: Weak


class Warn(NamedTuple):
    reason: str


Action = Liquidate | Absorb | Warn


def decide(observation: Observation) -> list[Action]:
    """Largest debts first, as far as the stock reaches."""
    actions: list[Action] = []
    stock, room = dict(observation.stock), observation.room
    for position in sorted(observation.weak, key=lambda item: (-item.debt, item.account)):
        if position.is_busy:
            continue
        if room == 0:
            break
        if position.debt == 0:
            actions.append(Absorb(position))
            room -= 1
            continue
        debt = min(position.debt, stock.get(position.synth, 0))
        if debt == 0:
            actions.append(Warn(f"no {position.symbol} in the Vault account to liquidate {position.account} with"))
            continue
        stock[position.synth] -= debt
        actions.append(Liquidate(position, debt))
        room -= 1
    return actions
