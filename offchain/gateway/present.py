"""The wire's words for what the domain holds: ccxt's keys, decimals as canonical strings, times in milliseconds.

Invariant: pure functions of records; every number is exact, except `average` and a price of an AMM pair, which are
rounded down at 18 decimals (`priceRounding` says so beside the price, and the exact amounts are there too).
"""

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from offchain.domain.amm import FEE_PPM
from offchain.domain.event import (
    AgentChanged,
    BalanceChanged,
    FeeScheduleChanged,
    IndexLowered,
    MarketRequested,
    MarketStateChanged,
    PoolChanged,
    SubaccountChanged,
)
from offchain.domain.market import Market, format_atoms
from offchain.domain.order import Flags, Kind, Side, TimeInForce, make_nonce
from offchain.domain.units import CXPT_DECIMALS, QUOTE_DECIMALS, Address, Lots, Ticks
from offchain.engine.fills import Fill
from offchain.gateway.directory import Directory, LifeEvent, MarketView, Trade
from offchain.gateway.records import FillRecord, OrderRecord
from offchain.gateway.terms import Part, ProtectionRecord, Rates

CHECKSUM_LEVELS = 10
ROUNDED_DOWN = {"priceRounding": "down"}
REQUESTED = "REQUESTED"
"""State of a market that is not on chain yet."""
_AVERAGE_SCALE = 10**18
_KINDS: dict[int, str] = {kind: kind.name.lower() for kind in Kind}
_SIDES: dict[int, str] = {side: side.name.lower() for side in Side}
_TIMES_IN_FORCE: dict[int, str] = {time_in_force: time_in_force.name for time_in_force in TimeInForce}
_POST_ONLY, _AMM, _REDUCE_ONLY, _PROTECTED = map(int, (Flags.POST_ONLY, Flags.AMM, Flags.REDUCE_ONLY, Flags.PROTECTED))
_TAKE_PROFIT, _ON_LAST, _IMMEDIATE = map(int, (Flags.TAKE_PROFIT, Flags.ON_LAST, Flags.IMMEDIATE))
"""As plain numbers: a flag that is looked at costs a tenth so."""

Levels = list[tuple[int, int]]
"""(price ticks, size lots)"""


class Token(NamedTuple):
    address: Address
    symbol: str
    decimals: int


class Tokens:
    """Tokens by address and by symbol: the settlement token and the bases of the listed markets."""

    def __init__(self, quote_token: Address, quote_decimals: int, model: Directory) -> None:
        self._quote_token = quote_token
        self._quote_decimals = quote_decimals
        self._model = model

    def all(self) -> list[Token]:
        """The settlement token first."""
        views = self._model.markets.values()
        quotes = [view.market.symbol.partition("-")[2] for view in views]
        found = [Token(self._quote_token, (quotes or ["USDC"])[0] or "USDC", self._quote_decimals)]
        known = {self._quote_token}
        for view in views:
            market = view.market
            if market.base_token not in known:
                known.add(market.base_token)
                found.append(Token(market.base_token, market.symbol.partition("-")[0], market.base_decimals))
        return found

    def find(self, name: str) -> Token | None:
        """By symbol or by address in any case."""
        lower = name.lower()
        return next((token for token in self.all() if name == token.symbol or lower == token.address), None)


def book_checksum(bids: list[list[str]], asks: list[list[str]]) -> int:
    """CRC32 of `price:size,price:size|price:size`: top 10 bids, `|`, top 10 asks, best first, as sent in the book."""
    sides = (",".join(":".join(level) for level in side[:CHECKSUM_LEVELS]) for side in (bids, asks))
    return zlib.crc32("|".join(sides).encode())


def book_json(view: MarketView, depth: int) -> dict[str, Any]:
    bids = view.market.format_levels(view.bids.top(depth))
    asks = view.market.format_levels(view.asks.top(depth))
    top = bids, asks
    if depth < CHECKSUM_LEVELS:
        top = (
            view.market.format_levels(view.bids.top(CHECKSUM_LEVELS)),
            view.market.format_levels(view.asks.top(CHECKSUM_LEVELS)),
        )
    return {"symbol": view.market.symbol, "bids": bids, "asks": asks, "checksum": book_checksum(*top)}


def market_json(view: MarketView, model: Directory) -> dict[str, Any]:
    market = view.market
    base, _, quote = market.symbol.partition("-")
    return {
        "symbol": market.symbol,
        "market": market.market,
        "base": base,
        "quote": quote,
        "state": view.state,
        "pool": pool_json(market, view.pool),
        "tickSize": market.tick_size,
        "lotSize": market.lot_size,
        "minNotional": "0",
        "mark": mark_price(view),
        "markTimestamp": None if view.mark is None else view.mark.at,
        "band": band_json(view),
        "makerFeePpm": model.maker_fee_ppm,
        "takerFeePpm": model.taker_fee_ppm,
        "baseToken": market.base_token,
        "baseDecimals": market.base_decimals,
        "quoteDecimals": market.quote_decimals,
        "baseAtomsPerLot": str(market.base_atoms_per_lot),
        "quoteAtomsPerTickLot": str(market.quote_atoms_per_tick_lot),
    }


def mark_price(view: MarketView) -> str | None:
    """What triggers and bands look at; None until somebody has posted one."""
    return None if view.mark is None else view.market.format_price(Ticks(view.mark.price_ticks))


def mark_json(view: MarketView) -> dict[str, Any]:
    at = None if view.mark is None else view.mark.at
    return {"symbol": view.market.symbol, "mark": mark_price(view), "markTimestamp": at}


def band_json(view: MarketView) -> dict[str, int] | None:
    """How far beyond the mark a limit may be, in millionths: of a sale below it, of a purchase above it."""
    band = view.band
    if band is None or not (band.below_ppm or band.above_ppm):
        return None
    return {"belowPpm": band.below_ppm, "abovePpm": band.above_ppm}


def order_json(order: OrderRecord, market: Market) -> dict[str, Any]:
    """ccxt's order, plus seq, nonce, slot, expiry, reason. `cost`, `average` and `fee` are null if not known here."""
    fee, flags = None, order.flags
    if order.fee_atoms is not None:
        fee = {"cost": format_atoms(order.fee_atoms, market.quote_decimals), "currency": quote_symbol(market)}
    return {
        "id": order.digest,
        "clientOrderId": order.client_order_id,
        "timestamp": order.at,
        "lastTradeTimestamp": order.last_trade_at,
        "lastUpdateTimestamp": order.updated_at,
        "symbol": market.symbol,
        "type": _KINDS[order.kind],
        "side": _SIDES[order.side],
        "price": market.format_price(Ticks(order.price_ticks)),
        "amount": market.format_size(Lots(order.size_lots)),
        "cost": None if order.cost_atoms is None else format_atoms(order.cost_atoms, market.quote_decimals),
        "average": average_price(order, market),
        "filled": market.format_size(Lots(order.filled_lots)),
        "remaining": market.format_size(Lots(order.remaining_lots)),
        "timeInForce": _TIMES_IN_FORCE[order.time_in_force],
        "postOnly": bool(flags & _POST_ONLY),
        "amm": bool(flags & _AMM),
        "reduceOnly": bool(flags & _REDUCE_ONLY),
        "protected": bool(flags & _PROTECTED),
        **_trigger(order, market),
        "status": str(order.status),
        "reason": order.reason or None,
        "fee": fee,
        "account": order.account,
        "subaccount": order.subaccount,
        "nonce": str(order.nonce),
        "slot": order.nonce >> 48,
        "expiry": order.expiry,
        "seq": order.sequence,
    }


def _trigger(order: OrderRecord, market: Market) -> dict[str, Any]:
    """One price under two of ccxt's names; all null of an order without a trigger."""
    price = market.format_price(Ticks(order.trigger_ticks)) if order.trigger_ticks else None
    is_profit = bool(order.flags & _TAKE_PROFIT)
    kind = "last" if order.flags & _ON_LAST else "mark"
    return {
        "triggerPrice": price,
        "takeProfitPrice": price if is_profit else None,
        "stopLossPrice": None if is_profit else price,
        "triggerPriceType": None if price is None else kind,
        "immediate": bool(order.flags & _IMMEDIATE),
        "waiting": order.is_waiting,
    }


def average_price(order: OrderRecord, market: Market) -> str | None:
    if order.cost_atoms is None or order.filled_lots <= 0:
        return None
    return price_down(order.cost_atoms, order.filled_lots * market.base_atoms_per_lot, market)


def price_down(quote_units: int, base_atoms: int, market: Market) -> str:
    """Quote per base in whole tokens, rounded down at 18 decimals."""
    scale = 10**market.base_decimals * _AVERAGE_SCALE
    return format_atoms(quote_units * scale // (base_atoms * 10**market.quote_decimals), 18)


def pool_json(market: Market, pool: PoolChanged | None) -> dict[str, Any] | None:
    """Reserves as of `blockNumber`, and the price of an infinitely small trade before fees."""
    if pool is None:
        return None
    is_empty = not (pool.base_reserve and pool.quote_reserve)
    return {
        "base": format_atoms(pool.base_reserve, market.base_decimals),
        "quote": format_atoms(pool.quote_reserve, market.quote_decimals),
        "price": None if is_empty else price_down(pool.quote_reserve, pool.base_reserve, market),
        **ROUNDED_DOWN,
        "feePpm": FEE_PPM,
        "blockNumber": pool.block_number,
    }


def symbol_of(number: int, model: Directory) -> str:
    """Of a listed or a requested market."""
    view = model.markets.get(number)
    return model.requested[number].symbol if view is None else view.market.symbol


def life_json(symbol: str, model: Directory) -> dict[str, Any]:
    """Where a market stands: asked for, listed, its state."""
    requested = next((row for row in model.requested.values() if row.symbol == symbol), None)
    view = model.symbols.get(symbol)
    return {
        "symbol": symbol,
        "state": REQUESTED if view is None else view.state,
        "listed": view is not None,
        "requested": None if requested is None else requested_json(requested),
    }


def requested_json(requested: MarketRequested) -> dict[str, Any]:
    """The terms that an operator asked for, in atoms where the chain has atoms."""
    return {
        "symbol": requested.symbol,
        "market": requested.market,
        "synth": requested.synth_symbol,
        "name": requested.synth_name,
        "baseAtomsPerLot": str(requested.base_atoms_per_lot),
        "quoteAtomsPerTickLot": str(requested.quote_atoms_per_tick_lot),
        "ceilingAtoms": str(requested.ceiling),
        "initialPercent": requested.initial_percent,
        "maintenancePercent": requested.maintenance_percent,
        "bonusPercent": requested.bonus_percent,
        "quorum": requested.quorum,
        "maxAgeSeconds": requested.max_age_seconds,
        "maxMovePpmPerMinute": requested.max_move_ppm_per_minute,
        "by": requested.by,
    }


def life_event_json(event: LifeEvent) -> dict[str, Any]:
    """`by` is null for what the chain or the process itself did."""
    match event:
        case MarketRequested(by=by):
            return {"kind": "requested", "state": REQUESTED, "by": by}
        case MarketStateChanged(state=state, by=by):
            return {"kind": "state", "state": state, "by": by or None}
        case _:
            return {"kind": "listed", "state": None, "by": None}


def fill_json(fill: FillRecord, account: Address, market: Market) -> list[dict[str, Any]]:
    """The legs of `account`: one, or both if it traded with itself."""
    legs = []
    for is_taker in (False, True):
        if account != (fill.taker if is_taker else fill.maker):
            continue
        side = Side(fill.taker_side) if is_taker else Side(fill.taker_side).opposite
        fee = {
            "cost": format_atoms(fill.taker_fee if is_taker else fill.maker_fee, market.quote_decimals),
            "currency": quote_symbol(market),
            "ratePpm": fill.taker_fee_ppm if is_taker else fill.maker_fee_ppm,
        }
        legs.append(
            {
                "id": str(fill.fill),
                "order": fill.taker_digest if is_taker else fill.maker_digest,
                "timestamp": fill.at,
                "symbol": market.symbol,
                "side": side.name.lower(),
                "takerOrMaker": "taker" if is_taker else "maker",
                **_price(fill, market),
                "amount": market.format_size(Lots(fill.size_lots)),
                "cost": format_atoms(fill.notional, market.quote_decimals),
                "fee": fee,
                "surplus": _surplus(fill, market),
                "state": str(fill.state),
                "reason": fill.reason or None,
                "batchId": fill.batch,
                "txHash": fill.transaction or None,
            }
        )
    return legs


def trade_json(trade: Trade, market: Market) -> dict[str, Any]:
    """The public side of a fill: no account, no order id. `cost` is exact."""
    notional = trade.price_ticks * trade.size_lots * market.quote_atoms_per_tick_lot
    if isinstance(trade, FillRecord):
        notional = trade.notional
    return {
        "id": str(trade.fill),
        "timestamp": trade.at,
        "side": _SIDES[trade.taker_side],
        **_price(trade, market),
        "amount": market.format_size(Lots(trade.size_lots)),
        "cost": format_atoms(notional, market.quote_decimals),
    }


def matches_json(fills: Sequence[Fill], market: Market) -> list[dict[str, Any]]:
    """The same of the engine's own fills of two orders: there are many, and no event is made of them."""
    makers = [(fill.maker.price if fill.maker else 0, fill.size_lots) for fill in fills]
    return [
        {
            "id": str(fill.number),
            "timestamp": fill.at,
            "side": "buy" if fill.taker.lane.is_buy else "sell",
            "price": price,
            "liquidity": "book",
            "amount": size,
            "cost": format_atoms(fill.notional, market.quote_decimals),
        }
        for fill, (price, size) in zip(fills, market.format_levels(makers), strict=True)
    ]


def _price(trade: Trade, market: Market) -> dict[str, Any]:
    if isinstance(trade, FillRecord) and trade.is_amm:
        price = price_down(trade.notional, trade.size_lots * market.base_atoms_per_lot, market)
        return {"price": price, **ROUNDED_DOWN, "liquidity": "amm"}
    return {"price": market.format_price(Ticks(trade.price_ticks)), "liquidity": "book"}


def _surplus(fill: FillRecord, market: Market) -> dict[str, str] | None:
    """What an AMM pair gave beyond the promise, known once the fill has settled."""
    if not fill.surplus_atoms:
        return None
    base, _, quote = market.symbol.partition("-")
    is_buy = fill.taker_side == Side.BUY
    decimals = market.base_decimals if is_buy else market.quote_decimals
    return {"amount": format_atoms(fill.surplus_atoms, decimals), "currency": base if is_buy else quote}


def balance_json(balance: Part, token: Token, first: Part | None = None) -> dict[str, Any]:
    """`free`, `used` and `total` are ccxt's; `withdrawable` is what a countersigned withdrawal may take (of a whole
    balance by what its sub-account 0, `first`, has), or a transfer of a sub-account's."""
    free = balance.settled + balance.pending - balance.held
    withdrawable = _withdrawable(balance)
    if isinstance(balance, BalanceChanged):
        withdrawable = min(withdrawable, 0 if first is None else _withdrawable(first))
    amounts = {
        "settled": balance.settled,
        "pending": balance.pending,
        "held": balance.held,
        "leaving": balance.leaving,
        "free": max(0, free - balance.leaving),
        "used": balance.held + balance.leaving,
        "total": balance.settled + balance.pending,
        "withdrawable": max(0, withdrawable),
    }
    decimals = token.decimals
    return {
        "token": token.symbol,
        "address": token.address,
        **{name: format_atoms(amount, decimals) for name, amount in amounts.items()},
    }


def _withdrawable(part: Part) -> int:
    return part.settled - part.owed - part.held - part.leaving


def part_json(part: SubaccountChanged, token: Token) -> dict[str, Any]:
    return {"subaccount": part.subaccount, **balance_json(part, token)}


def protection_json(record: ProtectionRecord, model: Directory, quote: Token, at: int) -> dict[str, Any]:
    """Limits in the settlement token, null if there is none; no `symbols` means every market."""
    terms, state = record.terms, "ACTIVE"
    if not terms.window_millis:
        state = "REMOVED"
    elif record.is_frozen(at):
        state = "FROZEN"
    tripped = None
    if record.tripped_at is not None and record.amount:
        amounts = {"amount": record.amount, "delta": record.delta}
        amounts_json = {name: format_atoms(atoms, quote.decimals) for name, atoms in amounts.items()}
        tripped = {"timestamp": record.tripped_at, **amounts_json}
    return {
        "number": terms.protection,
        "symbols": [model.markets[number].market.symbol for number in terms.markets],
        "windowMillis": terms.window_millis,
        "amountMax": format_atoms(terms.amount_max, quote.decimals) if terms.amount_max else None,
        "deltaMax": format_atoms(terms.delta_max, quote.decimals) if terms.delta_max else None,
        "freezeMillis": terms.freeze_millis,
        "state": state,
        "frozenUntil": (record.frozen_until or None) if state == "FROZEN" else None,
        "tripped": tripped,
    }


def schedule_json(schedule: FeeScheduleChanged | None, quote_decimals: int) -> dict[str, Any] | None:
    if schedule is None:
        return None
    discounts = schedule.discounts
    return {
        "tiers": [
            {
                "volumeMin": format_atoms(tier.volume_min, quote_decimals),
                "makerFeePpm": tier.maker_fee_ppm,
                "takerFeePpm": tier.taker_fee_ppm,
            }
            for tier in schedule.tiers
        ],
        "discounts": [
            {"cxptMin": format_atoms(one.cxpt_min, CXPT_DECIMALS), "discountPpm": one.discount_ppm} for one in discounts
        ],
    }


def fees_json(rates: Rates, schedule: FeeScheduleChanged | None, quote_decimals: int) -> dict[str, Any]:
    """`tier` counts the bounds that were reached; `next` is the one above."""
    told = schedule_json(schedule, quote_decimals)
    higher = [] if told is None else told["tiers"][rates.tier :]
    return {
        "makerFeePpm": rates.maker_ppm,
        "takerFeePpm": rates.taker_ppm,
        "tier": rates.tier,
        "discountPpm": rates.discount_ppm,
        "volume": format_atoms(rates.volume, quote_decimals),
        "volumeToday": format_atoms(rates.volume_today, quote_decimals),
        "cxpt": format_atoms(rates.cxpt, CXPT_DECIMALS),
        "next": higher[0] if higher else None,
        "schedule": told,
    }


def agent_json(agent: AgentChanged) -> dict[str, Any]:
    """`notional` in atoms of the settlement token, as it was signed; no `markets` means every market."""
    return {
        "agent": agent.agent,
        "expiry": agent.expiry,
        "notional": str(agent.notional),
        "markets": list(agent.markets),
        "revoked": agent.is_revoked,
    }


def _loss_json(loss: IndexLowered | None) -> dict[str, str] | None:
    """What a unit of the settlement token stands for fell from `index` to `newIndex`, in the Vault's scale."""
    if loss is None:
        return None
    return {"index": str(loss.index), "newIndex": str(loss.new_index), "shortfall": str(loss.shortfall)}


def venue_json(model: Directory) -> dict[str, Any]:
    """`loss` is the last one that was declared on chain, or null."""
    return {
        "state": str(model.venue_state),
        "reason": model.venue_reason or None,
        "makerFeePpm": model.maker_fee_ppm,
        "takerFeePpm": model.taker_fee_ppm,
        "feeSchedule": schedule_json(model.fee_schedule, _quote_decimals(model)),
        "markets": {view.market.symbol: view.state for view in model.markets.values()},
        "loss": _loss_json(model.loss),
        "requested": [row.symbol for number, row in model.requested.items() if number not in model.markets],
    }


def _quote_decimals(model: Directory) -> int:
    """The same in every market; without one nobody has traded."""
    return next((view.market.quote_decimals for view in model.markets.values()), QUOTE_DECIMALS)


def quote_symbol(market: Market) -> str:
    return market.symbol.partition("-")[2] or "USDC"


def nonce_words(nonce: int) -> dict[str, int]:
    """Slot and sequence of a nonce, for error messages."""
    assert make_nonce(nonce >> 48, nonce & (2**48 - 1)) == nonce
    return {"slot": nonce >> 48, "sequence": nonce & (2**48 - 1)}
