"""The engine's refusals in a sentence each, with what a trader needs to do better."""

from offchain.domain.event import RejectReason
from offchain.gateway.failures import ApiError
from offchain.gateway.readmodel import Directory, MarketView

WORDS: dict[RejectReason, str] = {
    RejectReason.WRONG_SIGNER: "the signature is neither the account's nor an agent's",
    RejectReason.AGENT_NOT_ENTITLED: "the agent's registration is over, or not for this market",
    RejectReason.AGENT_LIMIT: "the agent may not trade that much any more",
    RejectReason.UNKNOWN_MARKET: "no such market",
    RejectReason.MARKET_NOT_OPEN: "the market does not take orders now",
    RejectReason.UNSUPPORTED: "this kind of order is not supported",
    RejectReason.INVALID_PRICE: "the price is out of range",
    RejectReason.INVALID_SIZE: "the size is out of range",
    RejectReason.INVALID_SLOT: "immediate orders use slot 0, resting orders another slot",
    RejectReason.DEAD_NONCE: "the nonce is dead: its slot has seen this or a higher sequence",
    RejectReason.NONCE_TOO_FAR_AHEAD: "the nonce's sequence is more than a day ahead",
    RejectReason.EXPIRED: "the order has expired",
    RejectReason.FEE_CAP_TOO_LOW: "maxFeePpm is below the fee in force",
    RejectReason.INSUFFICIENT_BALANCE: "the account cannot cover the order",
    RejectReason.TOO_MANY_OPEN_ORDERS: "the account has too many open orders",
    RejectReason.DUPLICATE_CLIENT_ORDER_ID: "another order of the account has this clientOrderId",
    RejectReason.POST_ONLY_WOULD_CROSS: "the post-only order would take liquidity",
    RejectReason.POST_ONLY_VENUE: "the venue takes post-only orders only",
    RejectReason.CANCEL_ONLY_VENUE: "the venue takes cancels only",
    RejectReason.CANCEL_ONLY_ACCOUNT: "the account may only cancel until it is covered",
    RejectReason.ORDER_NOT_OPEN: "the order is not open",
    RejectReason.NOTHING_TO_CLOSE: "there is nothing to close",
    RejectReason.UNKNOWN_TOKEN: "no such token",
    RejectReason.UNKNOWN_FILL: "no such fill waits for its settlement",
    RejectReason.TOO_MANY_APPROVALS: "too many countersignatures of the account are outstanding",
    RejectReason.INVALID_PARAMETER: "a parameter is not acceptable",
    RejectReason.NOT_AN_OPERATOR: "only an operator of the venue may do this",
    RejectReason.MARKET_EXISTS: "there is a market with this symbol, or over this synth",
    RejectReason.MARKET_DELISTED: "the market is delisted for good",
    RejectReason.NO_POOL: "the market has no AMM pair, or its reserves are not known well enough now",
    RejectReason.POOL_BUSY: "another trade with the market's AMM pair is not settled yet",
    RejectReason.REDUCE_ONLY_EXCEEDED: "the reduce-only order would sell more than is settled and free",
    RejectReason.PRICE_OUT_OF_BAND: "the price is too far beyond the mark or the last price",
    RejectReason.TOO_MANY_WAITING_ORDERS: "too many orders wait for triggers or for other orders",
    RejectReason.BATCH_REFUSED: "another part of what was to happen together could not, or came first",
    RejectReason.NO_PROTECTION: "the account has no such protection, or none in this market",
    RejectReason.PROTECTION_FROZEN: "the account's protection tripped, and was not reset since",
    RejectReason.ALREADY_REQUESTED: "this was asked for already",
    RejectReason.TOO_MANY_REQUESTS_RELAYED: "the relay was asked too often within the hour; send it yourself, or later",
    RejectReason.DUPLICATE_CLIENT_TRANSFER_ID: "another transfer of the account has this clientTransferId",
}
"""A test checks that every reason has its words."""


def listed(directory: Directory, symbol: str) -> MarketView:
    """UNKNOWN_MARKET names some that there are."""
    view = directory.symbols.get(symbol)
    if view is None:
        data = {"symbols": list(directory.symbols)[:20]}
        raise ApiError(RejectReason.UNKNOWN_MARKET, WORDS[RejectReason.UNKNOWN_MARKET], data)
    return view
