"""What accounts without gas ask the relay for: deposits by permit, agents. Sent at the venue's cost, so bounded.

Invariants:
- what is sent is what the account signed, and only what would succeed now: who cannot pay costs no gas;
- a permit that somebody else used is not used again on an allowance that was left (`is_usable`);
- one that reverted on chain is not sent again, and no more than `per_hour` are sent in an hour, whatever is asked for.
"""

import time
from typing import NamedTuple

import msgspec
import structlog

from keepers.trial import try_out
from offchain.chain import rpc as questions
from offchain.chain.contracts import Token, deposit_with_permit_calldata, register_agent_calldata
from offchain.chain.registry import Registry
from offchain.chain.rpc import Rpc
from offchain.chain.transactions import Sender
from offchain.domain.eip712 import separator_of
from offchain.domain.errors import ConfigurationError
from offchain.domain.event import RelayRequested
from offchain.domain.relayed import RelayRequest, RequestDeposit
from offchain.domain.units import Address
from offchain.storage.ops import Ops
from offchain.storage.transactions import TransactionState

KIND = "relay"
WINDOW = 64
DEADLINE_MARGIN_SECONDS = 5
"""A block or two before the deadline nothing is sent any more."""
RETRY_SECONDS = 20
"""After a trial that failed, by the chain's time: the money may be on its way."""
TRIALS_MAX = 3
TRIALS_PER_ROUND = 2
"""Each is two requests to the node, of a hundred a minute."""
ROOM_KEPT = 2
"""Of the mempool's nonces, for withdrawals."""
GAS_MAX = 400_000
"""Three times a deposit; an agent for 64 markets needs less."""
HOUR_MILLIS = 60 * 60 * 1000

_log = structlog.get_logger()
_decode = msgspec.json.Decoder(RelayRequested).decode


class Wish(NamedTuple):
    """`retry_at`: not before this chain time, in unix seconds. `flaw`: why it is given up, if it is."""

    told: RelayRequested
    state: TransactionState | None
    retry_at: int = 0
    flaw: str = ""


class Carry(NamedTuple):
    wish: Wish


class Settled(NamedTuple):
    """Nothing remains to be done."""

    number: int
    why: str


def decide(wishes: tuple[Wish, ...], chain_time: int, room: int, budget: int) -> list[Carry | Settled]:
    """What to do now. `budget`: how many may still be sent within the hour."""
    actions: list[Carry | Settled] = []
    left = min(TRIALS_PER_ROUND, room - ROOM_KEPT, budget)
    for wish in wishes:
        if wish.state in (TransactionState.SIGNED, TransactionState.SENT, TransactionState.MINED):
            continue
        if why := _why_settled(wish, chain_time):
            actions.append(Settled(wish.told.number, why))
        elif left > 0 and wish.retry_at <= chain_time:
            actions.append(Carry(wish))
            left -= 1
    return actions


def _why_settled(wish: Wish, chain_time: int) -> str:
    if wish.state is TransactionState.FINAL:
        return "relayed"
    if wish.state is TransactionState.FAILED:
        return "failed on chain"
    if wish.flaw:
        return wish.flaw
    return "deadline passed" if chain_time + DEADLINE_MARGIN_SECONDS >= wish.told.request.deadline else ""


def is_usable(request: RequestDeposit, nonce: int, allowance: int) -> bool:
    """Whether the permit is unused, or somebody sent it to the token alone: then its allowance is there to the atom.

    A permit sets the allowance, whatever it was before, and its deposit uses it up: any other allowance after it is not
    what this permit was signed for.
    """
    return nonce == request.nonce or (nonce > request.nonce and allowance == request.amount)


class Requests:
    """The part of the relay keeper that spends the venue's gas on others."""

    def __init__(self, rpc: Rpc, ops: Ops, sender: Sender, registry: Registry, *, per_hour: int) -> None:
        self._rpc, self._ops, self._sender = rpc, ops, sender
        self._registry, self._per_hour = registry, per_hour
        self._vault, self._settlement = registry.address("Vault"), registry.address("Settlement")
        self._cursor = 0
        self._done: set[int] = set()
        self._retry_at: dict[int, int] = {}
        self._trials: dict[int, int] = {}
        self._flaws: dict[int, str] = {}
        self.counts: dict[str, int] = {}

    async def check_domain(self) -> None:
        """ConfigurationError if permits are signed for another domain than the token's."""
        name, version = self._registry.permit_name, self._registry.permit_version
        if not name:
            return
        token = self._registry.quote_token
        answer = await self._rpc.read(questions.call(token, Token.domain_separator.encode()))
        if answer != separator_of(name, version, self._registry.chain_id, token):
            raise ConfigurationError(
                f"the settlement token's permits are not those of {name}, version {version}",
                remedy="Correct permitName and permitVersion in the registry",
            )

    def wishes(self) -> tuple[Wish, ...]:
        rows = self._ops.outbox_after(KIND, self._cursor, WINDOW)
        while rows and rows[0].key in self._done:
            self._cursor = rows[0].key
            self._forget(rows.pop(0).key)
        return tuple(self._wish(row.key, row.payload) for row in rows if row.key not in self._done)

    def budget(self) -> int:
        """By what was ever begun: it may have cost gas, however it ended."""
        since = int(time.time() * 1000) - HOUR_MILLIS
        return max(0, self._per_hour - self._ops.transactions_since(f"{KIND}:", since))

    def settle(self, action: Settled) -> None:
        self._done.add(action.number)
        self.counts[action.why] = self.counts.get(action.why, 0) + 1
        (_log.info if action.why == "relayed" else _log.warning)("settled", request=action.number, why=action.why)

    async def carry(self, wish: Wish) -> None:
        number, request = wish.told.number, wish.told.request
        if isinstance(request, RequestDeposit) and not await self._is_usable(request):
            self._put_off(number, "its nonce is used, or not the next")
            return
        target, calldata = self._transaction(request)
        trial = await try_out(self._rpc, target, calldata, self._sender.address)
        if not trial.succeeds:
            self._put_off(number, f"reverts: {trial.error or 'for no known reason'}", trial.reason)
        elif trial.gas > GAS_MAX:
            self._flaws[number] = "needs too much gas"
        else:
            row = await self._sender.send(f"{KIND}:{number}", target, calldata, min(GAS_MAX, trial.gas * 13 // 10))
            if row is not None:
                _log.info("sent", request=number, account=request.account, nonce=row.nonce, hash=row.hash)

    async def _is_usable(self, request: RequestDeposit) -> bool:
        token, owner = self._registry.quote_token, request.account
        nonce, allowance = await self._rpc.read_both(
            questions.call(token, Token.nonces.encode(owner)),
            questions.call(token, Token.allowance.encode(owner, self._vault)),
        )
        return is_usable(request, int.from_bytes(nonce, "big"), int.from_bytes(allowance, "big"))

    def _transaction(self, request: RelayRequest) -> tuple[Address, bytes]:
        if isinstance(request, RequestDeposit):
            return self._vault, deposit_with_permit_calldata(request)
        return self._settlement, register_agent_calldata(request)

    def _put_off(self, number: int, why: str, reason: str = "") -> None:
        self._trials[number] = self._trials.get(number, 0) + 1
        self._retry_at[number] = self._sender.chain_time + RETRY_SECONDS
        if self._trials[number] >= TRIALS_MAX:
            self._flaws[number] = why
        _log.warning("put off", request=number, reason=reason or why)

    def _wish(self, number: int, payload: str) -> Wish:
        known = self._ops.transaction_of(f"{KIND}:{number}")
        state = None if known is None else known.state
        return Wish(_decode(payload), state, self._retry_at.get(number, 0), self._flaws.get(number, ""))

    def _forget(self, number: int) -> None:
        self._done.discard(number)
        self._retry_at.pop(number, None)
        self._trials.pop(number, None)
        self._flaws.pop(number, None)
