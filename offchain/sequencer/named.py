"""A cancel that names its order by an id: which order that is, and the command that takes it out.

Invariant: only an open order of the account itself is cancelled, and one whose owner signed only by the nonce that was
signed. What is asked is the engine, which knows every order that can be open: nobody else need be up to date.
"""

from offchain.domain.command import CancelOrder
from offchain.domain.event import AnyEvent, OrderAccepted, OrderClosed
from offchain.engine.engine import Engine
from offchain.sequencer.protocol import NamedCancel


def find_named(engine: Engine, named: NamedCancel) -> tuple[AnyEvent, ...]:
    """The order as it is, see `Engine.find_order`; empty if the account has none of that name, or it was rejected."""
    digest = named.digest or engine.find_client_order(named.account, named.client_order_id)
    found = None if digest is None else engine.find_order(digest)
    if not found or not isinstance(found[0], OrderAccepted) or found[0].account != named.account:
        return ()
    return found


def cancel_of(named: NamedCancel, found: tuple[AnyEvent, ...]) -> CancelOrder | None:
    """None if there is nothing to cancel."""
    if not found or isinstance(found[-1], OrderClosed):
        return None
    accepted = found[0]
    assert isinstance(accepted, OrderAccepted)
    if named.nonce not in (None, accepted.nonce):
        return None
    return CancelOrder(named.account, accepted.nonce, named.account, named.signature)
