"""Orders of one account, or of one group of accounts, that would meet: who gives way.

Invariant: what an order would meet is decided before it trades, by the same bounds that end its trading; only then does
anything close. An account never trades with itself, whatever it wishes: the chain settles no such fill. That case in
its usual mode (the maker gives way) needs nothing of this: `matching` does it on its way.
"""

from offchain.domain.beside import SelfTrade
from offchain.domain.limits import FILLS_PER_RESTING_ORDER_MAX
from offchain.domain.reasons import CloseReason
from offchain.engine.closing import close
from offchain.engine.matching import Room, parts_of, room_of
from offchain.engine.orders import Lane, Ticket
from offchain.engine.state import State

Verdict = tuple[int, Ticket | None, CloseReason]
"""How many lots of an order may trade before it leaves, who leaves with it, and why."""


def keep_apart(state: State, lane: Lane, taker: Ticket, mode: SelfTrade) -> Verdict | None:
    """Closes the makers that have to give way; None: then the taker may trade as any other."""
    rivals, ahead, is_filled = _meet(state, lane, taker, mode)
    if rivals and mode in (SelfTrade.EXPIRE_TAKER, SelfTrade.EXPIRE_BOTH):
        leaving = rivals[0] if mode is SelfTrade.EXPIRE_BOTH else None
        return 0 if lane.is_fok else ahead, leaving, CloseReason.SELF_TRADE
    if lane.is_fok and not is_filled:
        return 0, None, CloseReason.IMMEDIATE_REMAINDER
    for rival in rivals:
        close(state, rival, CloseReason.SELF_TRADE)
    return None


def _is_rival(taker: Ticket, maker: Ticket, mode: SelfTrade) -> bool:
    if maker.account is taker.account:
        return True
    return mode is not SelfTrade.NONE and 0 != taker.account.group == maker.account.group


def _meet(state: State, lane: Lane, taker: Ticket, mode: SelfTrade) -> tuple[list[Ticket], int, bool]:
    """The rivals that the order reaches, the lots ahead of the first of them, whether the others fill it."""
    room = room_of(state, taker) if lane.is_immediate else Room(FILLS_PER_RESTING_ORDER_MAX)
    rivals, price, wanted, ahead = list[Ticket](), taker.price, taker.remaining, 0
    for level in lane.opposite.best_first():
        if level.price > price if lane.is_buy else level.price < price:
            break
        for maker, lots in parts_of(level, lambda maker: _is_rival(taker, maker, mode)):
            if _is_rival(taker, maker, mode):
                rivals.append(maker)
            elif not room.admit(maker):
                return rivals, ahead, False
            else:
                wanted -= lots
                ahead += 0 if rivals else lots
                if wanted <= 0:
                    return rivals, ahead, True
    return rivals, ahead, False
