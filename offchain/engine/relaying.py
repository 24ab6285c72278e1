"""What the relay is asked for: `RequestDeposit` and `RequestAgent` in, a word to the relay keeper out.

Invariant: no money moves here: the chain's own logs credit a deposit and register an agent, whoever sent them. A
request only ends: when a log says what was asked for, or when its deadline has passed on chain.
"""

from offchain.domain.chainlog import AgentRegistered, Deposited
from offchain.domain.command import OpenVenue
from offchain.domain.eip712 import AgentTerms, agent_digest, permit_digest
from offchain.domain.event import RejectReason, RelayRequested
from offchain.domain.limits import (
    AGENT_MARKETS_MAX,
    AGENT_UNLIMITED,
    RELAY_SECONDS_MAX,
    RELAY_SECONDS_MIN,
    RELAYED_ATOMS_MAX,
    RELAYED_BY_STRANGERS_MAX,
    RELAYED_DEPOSIT_MIN,
    RELAYED_MAX,
    RELAYED_PER_ACCOUNT_MAX,
)
from offchain.domain.reasons import VenueState
from offchain.domain.relayed import RelayRequest, RequestAgent, RequestDeposit
from offchain.domain.units import INDEX_ONE, ZERO_ADDRESS, Digest, from_hex, units_down
from offchain.engine.state import State


def request_relay(state: State, command: RelayRequest) -> None:
    """One RelayRequested, or a CommandRejected."""
    state.relayed.pass_time(state.at)
    assert state.venue is not None
    reason = _refusal(state, state.venue, command)
    if reason is not None:
        state.reject(reason)
        return
    digest, is_stranger = digest_of(state.venue, state.separator, command), command.account not in state.accounts
    if state.relayed.knows(digest):
        state.reject(RejectReason.ALREADY_REQUESTED)
    elif _is_too_much(state, command, is_stranger):
        state.reject(RejectReason.TOO_MANY_REQUESTS_RELAYED)
    else:
        told = RelayRequested(number=state.sequence, digest=digest, request=command)
        state.relayed.add(told, state.at, is_stranger=is_stranger)
        state.effects.append(told)


def end_deposit(state: State, log: Deposited) -> None:
    """The oldest request of just this amount: which transaction sent it does not matter to its account."""
    if log.token != state.quote_token:
        return
    state.relayed.pass_time(state.at)
    index = INDEX_ONE if state.loss is None else state.loss.new_index
    for told in state.relayed.open_of(log.account):
        request = told.request
        if isinstance(request, RequestDeposit) and units_down(request.amount, index) == log.amount:
            state.effects.append(state.relayed.end(told.number, log.transaction))
            return


def end_agent(state: State, log: AgentRegistered) -> None:
    terms = (log.agent, log.expiry, log.notional, log.markets)
    state.relayed.pass_time(state.at)
    for told in state.relayed.open_of(log.account):
        request = told.request
        if isinstance(request, RequestAgent) and terms_of(request) == terms:
            state.effects.append(state.relayed.end(told.number, log.transaction))
            return


def lapse(state: State, block_time: int) -> None:
    """Ends those that no block from now on can carry out."""
    state.relayed.pass_time(state.at)
    while (number := state.relayed.late(block_time)) is not None:
        state.effects.append(state.relayed.end(number, ""))


def digest_of(venue: OpenVenue, separator: bytes, request: RelayRequest) -> Digest:
    """What the owner signed; `separator` is that of Settlement."""
    if isinstance(request, RequestAgent):
        signed = agent_digest(separator, request.account, terms_of(request), request.nonce, request.deadline)
    else:
        domain = from_hex(request.token_domain)
        signed = permit_digest(domain, request.account, venue.vault, request.amount, request.nonce, request.deadline)
    return Digest("0x" + signed.hex())


def terms_of(request: RequestAgent) -> AgentTerms:
    return AgentTerms(request.agent, request.expiry, request.notional, request.markets)


def flaw_of_relay(request: RelayRequest, at: int, quote_decimals: int) -> str:
    """The first field that will not do at `at` (unix millis), "" if all will."""
    now = at // 1000
    if not now + RELAY_SECONDS_MIN <= request.deadline <= now + RELAY_SECONDS_MAX:
        return "deadline"
    if not 0 <= request.nonce < 2**256:
        return "nonce"
    if isinstance(request, RequestDeposit):
        return "" if RELAYED_DEPOSIT_MIN * 10**quote_decimals <= request.amount < RELAYED_ATOMS_MAX else "amount"
    return _flaw_of_agent(request, now)


def _flaw_of_agent(request: RequestAgent, now: int) -> str:
    if request.agent in (ZERO_ADDRESS, request.account):
        return "agent"
    if not now + RELAY_SECONDS_MIN < request.expiry < 2**40:
        return "expiry"
    if not 0 <= request.notional <= AGENT_UNLIMITED:
        return "notional"
    if len(request.markets) > AGENT_MARKETS_MAX or any(not 0 <= market < 2**32 for market in request.markets):
        return "markets"
    return ""


def _refusal(state: State, venue: OpenVenue, command: RelayRequest) -> RejectReason | None:
    if command.signer != command.account:
        return RejectReason.WRONG_SIGNER
    if flaw_of_relay(command, state.at, venue.quote_decimals):
        return RejectReason.INVALID_PARAMETER
    if state.gate.state is VenueState.HALTED:
        return RejectReason.CANCEL_ONLY_VENUE
    if isinstance(command, RequestAgent) and command.account not in state.accounts:
        return RejectReason.INSUFFICIENT_BALANCE
    return None


def _is_too_much(state: State, command: RelayRequest, is_stranger: bool) -> bool:
    relayed = state.relayed
    return (
        relayed.count_of(command.account) >= RELAYED_PER_ACCOUNT_MAX
        or len(relayed) >= RELAYED_MAX
        or (is_stranger and relayed.strangers >= RELAYED_BY_STRANGERS_MAX)
    )
