"""An accepted order as a row of a snapshot, and back. There may be a million of them, nearly all of them closed."""

from typing import Any

from offchain.domain.order import pack_terms, unpack_terms
from offchain.domain.reasons import CloseReason
from offchain.engine.admission import open_lane
from offchain.engine.orders import Account, Conditional, Lane, Moment, Ticket, Trader
from offchain.engine.state import State

Row = tuple[Any, ...]


def accepted_row(ticket: Ticket) -> Row:
    """What was announced when it was accepted; one more element is its trigger."""
    moment = ticket.moment
    head = ticket.key, ticket.sequence, moment.at, ticket.account.address, *unpack_terms(ticket.lane.terms)
    prices = ticket.price, ticket.size, ticket.nonce, ticket.expiry
    row = *head, *prices, ticket.client_order_id, moment.maker_ppm, moment.taker_ppm
    return (*row, ticket.trigger) if ticket.trigger else row


def name_of(accepted: Row) -> str:
    """The client order id in such a row."""
    return str(accepted[14])


REASONS = {str(reason): reason for reason in CloseReason}


class Places:
    """Of one account: what its orders have in common is looked up once. There may be a million of them."""

    def __init__(self, state: State, account: Account) -> None:
        self._state = state
        self._account = account
        self._lanes: dict[Row, tuple[Lane, Trader]] = {}
        self._moments: dict[Row, Moment] = {}

    def read(self, fields: Row) -> Ticket:
        """Open, and nowhere yet. Of a closed order nothing is kept that it was not announced with."""
        digest, sequence, at, _, subaccount, market, side, kind, force, flags, *rest_of_it = fields
        price, size, nonce, expiry, _, maker, taker, *trigger = rest_of_it
        terms, moment = (subaccount, market, side, kind, force, flags), (at, maker, taker)
        ticket = Ticket()
        if trigger:
            ticket = conditional = Conditional()
            (conditional.trigger,) = trigger
        try:
            ticket.lane, ticket.trader = self._lanes[terms]
        except KeyError:
            ticket.lane, ticket.trader = self._open(terms)
        try:
            ticket.moment = self._moments[moment]
        except KeyError:
            ticket.moment = self._moments[moment] = Moment(*moment)
        ticket.key, ticket.sequence = digest, sequence
        ticket.price, ticket.size, ticket.nonce, ticket.expiry = price, size, nonce, expiry
        ticket.signature, ticket.agent, ticket.max_fee_ppm = b"", None, 0
        ticket.hold_per_lot, ticket.remaining, ticket.reason, ticket.is_fresh = 0, size, None, False
        ticket.level = None
        return ticket

    def _open(self, terms: Row) -> tuple[Lane, Trader]:
        state = self._state
        found = open_lane(state, pack_terms(*terms)), state.trader(state.books[terms[1]], self._account, terms[0])
        self._lanes[terms] = found
        return found


def read_accepted(state: State, fields: Row) -> Ticket:
    return Places(state, state.account(fields[3])).read(fields)
