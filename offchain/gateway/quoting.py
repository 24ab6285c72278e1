"""GET /v1/quote: what a trade would cost now, in the book and with the AMM pair, as the router splits it.

Invariant: a quote is a pure function of the read model and binds nobody; it reserves nothing. A pair whose last trade
is not settled yet is left out, since the engine would not promise anything of it.
"""

from collections.abc import Mapping
from typing import Any

from offchain.domain.limits import PRICE_TICKS_MAX
from offchain.domain.market import Market, format_atoms
from offchain.domain.order import Side
from offchain.domain.reasons import RejectReason
from offchain.domain.units import Lots, Ticks
from offchain.gateway import present, schema
from offchain.gateway.directory import MarketView
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.readmodel import ReadModel
from offchain.router import Plan, Question, Reserves, plan_for_amount, plan_for_size
from offchain.router.plan import LEVELS_MAX


def quote_json(view: MarketView, model: ReadModel, query: Mapping[str, str]) -> dict[str, Any]:
    """`query`: side, size or amount (of the settlement token, with fees), and perhaps limit, the worst price."""
    market = view.market
    if query.get("side") not in schema.SIDES:
        raise ApiError(Code.INVALID_FIELD, "side is buy or sell", {"field": "side"})
    if ("size" in query) == ("amount" in query):
        raise ApiError(Code.INVALID_FIELD, "give either size or amount", {"field": "size"})
    side = schema.SIDES[query["side"]]
    limit = None
    if "limit" in query:
        parse = market.parse_price
        limit = schema.parse_grid(parse, query["limit"], "limit", RejectReason.INVALID_PRICE)
        assert 0 < limit <= PRICE_TICKS_MAX
    question = Question(
        market=market,
        side=side,
        levels=view.sides[side.opposite].top(LEVELS_MAX),
        pool=_reserves(view),
        taker_fee_ppm=model.taker_fee_ppm,
        limit_ticks=limit,
    )
    if "size" in query:
        size = schema.parse_grid(market.parse_size, query["size"], "size", RejectReason.INVALID_SIZE)
        plan, wanted = plan_for_size(question, size), {"size": market.format_size(size)}
        is_complete = plan.lots == size
    else:
        amount = schema.parse_amount(query["amount"], market.quote_decimals)
        plan, wanted = plan_for_amount(question, amount), {"amount": format_atoms(amount, market.quote_decimals)}
        is_complete = plan.lots > 0 if side is Side.BUY else plan.total >= amount
    head = {"symbol": market.symbol, "side": query["side"], **wanted, "state": view.state, "ammBusy": _is_busy(view)}
    return head | _plan_json(plan, market) | {"complete": is_complete}


def _reserves(view: MarketView) -> Reserves | None:
    if view.pool is None or _is_busy(view):
        return None
    return Reserves(view.pool.base_reserve, view.pool.quote_reserve)


def _is_busy(view: MarketView) -> bool:
    return bool(view.undecided)


def _plan_json(plan: Plan, market: Market) -> dict[str, Any]:
    """`total`: what a buyer pays and a seller receives, with fees."""
    decimals = market.quote_decimals
    return {
        "book": _part(market, plan.book_lots, plan.book_quote, plan.book_fee, plan.book_limit_ticks),
        "amm": _part(market, plan.amm_lots, plan.amm_quote, plan.amm_fee, plan.amm_limit_ticks),
        "filled": market.format_size(Lots(plan.lots)),
        "cost": format_atoms(plan.quote, decimals),
        "fee": format_atoms(plan.fees, decimals),
        "total": format_atoms(plan.total, decimals),
        "average": _average(market, plan.quote, plan.lots),
        **present.ROUNDED_DOWN,
    }


def _part(market: Market, lots: int, quote: int, fee: int, limit: int) -> dict[str, Any] | None:
    """`limit` is the price to sign: the worst level used, or the pair's average with room for its reserves to move."""
    if not lots:
        return None
    return {
        "size": market.format_size(Lots(lots)),
        "cost": format_atoms(quote, market.quote_decimals),
        "fee": format_atoms(fee, market.quote_decimals),
        "average": _average(market, quote, lots),
        "limit": market.format_price(Ticks(limit)),
    }


def _average(market: Market, quote: int, lots: int) -> str | None:
    return present.price_down(quote, lots * market.base_atoms_per_lot, market) if lots else None
