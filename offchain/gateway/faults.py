"""Which field of a request the engine found unacceptable, and what would do: for INVALID_PARAMETER, which does not say.

Invariant: it asks the engine's own checks, so that it never names a field that the engine would have taken.
"""

from typing import Any, Final

from offchain.domain.command import Command, PlaceOrder, RefuseFill, RequestApproval, RequestMarket
from offchain.domain.limits import (
    AGENT_MARKETS_MAX,
    CLIENT_ORDER_ID_BYTES_MAX,
    COLLATERAL_PERCENT_MAX,
    COLLATERAL_PERCENT_MIN,
    FEE_TIERS_MAX,
    PRICE_AGE_SECONDS_MAX,
    QUORUM_MAX,
    RELAY_SECONDS_MAX,
    RELAY_SECONDS_MIN,
    RELAYED_DEPOSIT_MIN,
    SYNTH_NAME_BYTES_MAX,
    WITHDRAWAL_DEADLINE_SECONDS_MAX,
)
from offchain.domain.relayed import RequestAgent, RequestDeposit
from offchain.domain.terms import SetFeeSchedule
from offchain.domain.units import PPM, Address
from offchain.engine.admission import flaw_beside, flaw_of_order
from offchain.engine.markets import flaw_of_request
from offchain.engine.pricing import flaw_of_schedule
from offchain.engine.promising import flaw_of_approval, is_too_far
from offchain.engine.relaying import flaw_of_relay

WIRE: Final = {
    "synth_symbol": "synth",
    "synth_name": "name",
    "base_atoms_per_lot": "lotSize",
    "quote_atoms_per_tick_lot": "tickSize",
    "trigger_ticks": "stopLossPrice",
    "display_lots": "visibleSize",
    "trail_ticks": "trailingAmount",
    "is_amend": "amend",
}
"""Fields that requests call something else than commands; the others are the same words in camelCase."""
REMEDIES: Final = {
    "timeInForce": "A market order is IOC or FOK",
    "postOnly": "An order that takes at once cannot be post-only",
    "amm": "IOC, FOK or market, and not postOnly",
    "protected": "Only an order that rests is protected",
    "reduceOnly": "Only a sale reduces",
    "stopLossPrice": "A conditional order is GTC or GTD, not post-only; bits 8, 16 and 32 of the flags need a trigger",
    "visibleSize": "Of an order that rests, and is not immediate once its trigger came",
    "trailingAmount": "Of a stop that rests",
    "parent": "The nonce of another order of the market, of one that rests itself",
    "other": "The nonce of another order of the market and side, of which one of the two waits",
    "amend": "Of an order that rests",
    "expiry": "GTD needs one, in unix seconds below 2^40",
    "clientOrderId": f"At most {CLIENT_ORDER_ID_BYTES_MAX} bytes",
    "amount": "Above 0",
    "tiers": f"At most {FEE_TIERS_MAX}, by rising volume; no maker's rebate above the least that a taker pays with the "
    "largest discount",
    "discounts": f"At most {FEE_TIERS_MAX}, by rising cxptMin, each of 1 to {PPM} millionths",
    "purpose": "withdraw, lock or burn",
    "asCxpt": "CXPT stands for withdrawn USDC only",
    "destination": "An address that is not zero",
    "token": "Lock USDC, burn a synth",
    "deadline": f"At most {WITHDRAWAL_DEADLINE_SECONDS_MAX // 3600} hours ahead",
    "symbol": "BASE-QUOTE in capitals and digits, quoted in the venue's settlement token, like DOGE-USDC",
    "synth": f"1 to {SYNTH_NAME_BYTES_MAX} letters and digits, like hDOGE",
    "name": f"1 to {SYNTH_NAME_BYTES_MAX} printable characters",
    "lotSize": "Above 0",
    "tickSize": "Above 0, and with lotSize a finite decimal",
    "ceiling": "Above 0",
    "initialPercent": f"Above maintenancePercent, at most {COLLATERAL_PERCENT_MAX}",
    "maintenancePercent": f"At least {COLLATERAL_PERCENT_MIN}",
    "bonusPercent": "From 1, and 100 + bonusPercent below maintenancePercent",
    "fill": "It is taken back already",
    "quorum": f"1 to {QUORUM_MAX}",
    "maxAgeSeconds": f"1 to {PRICE_AGE_SECONDS_MAX}",
    "maxMovePpmPerMinute": f"1 to {PPM}",
}
RELAY_REMEDIES: Final = {
    "amount": f"At least {RELAYED_DEPOSIT_MIN}: sending it costs the venue gas",
    "deadline": f"{RELAY_SECONDS_MIN} to {RELAY_SECONDS_MAX} seconds ahead",
    "nonce": "Of 256 bits",
    "agent": "Another key than the account's, not zero",
    "expiry": f"More than {RELAY_SECONDS_MIN} seconds ahead, below 2^40",
    "notional": "Of 128 bits",
    "markets": f"At most {AGENT_MARKETS_MAX} numbers of 32 bits",
}


def fault_of(command: Command, at: int, quote: Address, quote_decimals: int, quote_symbol: str) -> dict[str, Any]:
    """`field` and `remedy` of a command that was refused at `at` (unix millis); empty if nothing is wrong with it."""
    name = ""
    if isinstance(command, PlaceOrder):
        name = flaw_of_order(command.order, command.client_order_id) or _flaw_of_wishes(command)
    elif isinstance(command, RequestApproval):
        name = flaw_of_approval(command, command.token == quote) or ("deadline" if is_too_far(command, at) else "")
    elif isinstance(command, RequestMarket):
        name = flaw_of_request(command, quote_decimals, quote_symbol)
    elif isinstance(command, RequestDeposit | RequestAgent):
        name = flaw_of_relay(command, at, quote_decimals)
        return {"field": name, "remedy": RELAY_REMEDIES[name]} if name else {}
    elif isinstance(command, SetFeeSchedule):
        name = flaw_of_schedule(command.tiers, command.discounts) or "tiers"
    elif isinstance(command, RefuseFill):
        name = "fill"
    if not name:
        return {}
    field = WIRE.get(name) or _camel(name)
    return {"field": field, "remedy": REMEDIES[field]}


def _flaw_of_wishes(command: PlaceOrder) -> str:
    """A link that is sound in itself leads to an order of another market or side."""
    beside = command.beside
    if beside is None:
        return ""
    return flaw_beside(command.order, beside) or ("other" if beside.other else "parent" if beside.parent else "")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
