"""Engine and naive twin side by side: what happened, in the twin's words, and every balance, level and order."""

from typing import Any

from naive import Naive
from scene import QUOTE

from offchain.domain import event as ev
from offchain.domain.event import AnyEvent
from offchain.domain.units import Address
from offchain.engine.engine import Engine
from offchain.engine.orders import Ladder
from offchain.engine.parts import parts_of


def told(event: AnyEvent) -> tuple[Any, ...] | None:
    """The happening in the twin's words; None for what it does not tell."""
    match event:
        case ev.OrderAccepted():
            return "accepted", event.digest, event.size_lots
        case ev.OrderRejected():
            return "rejected", event.digest, event.reason.value
        case ev.OrderClosed():
            return "closed", event.digest, event.reason.value, event.filled_lots
        case ev.OrderRulesChanged():
            return "rules", event.order_rules
        case ev.TradeGroupChanged():
            return "group", event.accounts, event.group
        case ev.BandChanged():
            return "band", event.market, event.below_ppm, event.above_ppm
        case ev.MarkPosted():
            return "mark", event.market, event.price_ticks
        case ev.OrderTriggered():
            return "triggered", event.digest, None if event.refusal is None else event.refusal.value
        case ev.OrderAmended():
            return "amended", event.digest, event.size_lots
        case ev.TransferredBetween():
            numbers = event.source, event.target
            return "transfer", event.account, event.token, *numbers, event.amount, event.is_forced
        case ev.TransferKnown():
            return "transfer known", event.account, event.client_id, event.sequence
        case ev.FeeScheduleChanged():
            tiers = [(tier.volume_min, tier.maker_fee_ppm, tier.taker_fee_ppm) for tier in event.tiers]
            return "schedule", *tiers, *[(one.cxpt_min, one.discount_ppm) for one in event.discounts]
        case ev.CxptObserved():
            return "cxpt", event.account, event.atoms
        case ev.ProtectionSet():
            limits = event.amount_max, event.delta_max, event.freeze_millis
            return "protection", event.account, event.protection, event.window_millis, event.markets, *limits
        case ev.ProtectionTripped():
            return "tripped", event.account, event.protection, event.until, event.amount, event.delta
        case ev.ProtectionReset():
            return "reset", event.account, event.protection
        case ev.CancelAllAfterSet():
            return "switch", event.account, event.deadline
        case ev.TogetherDecided():
            return "together", event.account, None if event.reason is None else event.reason.value, event.index
        case ev.FillMatched():
            digests = event.maker_digest, event.taker_digest
            return "fill", event.fill, *digests, event.price_ticks, event.size_lots, event.maker_fee, event.taker_fee
        case ev.AmmFillMatched():
            return "amm", event.fill, event.taker_digest, event.quote, event.size_lots, event.taker_fee
        case ev.AmmFillImproved():
            return "improved", event.fill, event.token, event.amount
        case ev.PoolChanged():
            return "pool", event.market, event.base_reserve, event.quote_reserve
        case ev.BatchClosed():
            return "batch", event.batch, event.first, event.last
        case ev.FillSettled():
            return "settled", event.fill
        case ev.FillRefused():
            return "refused", event.fill, event.reason
        case ev.FillTakenBack():
            return "taken back", event.fill
        case ev.ApprovalGranted():
            return "promised", event.nonce, event.amount, event.deadline
        case ev.ApprovalReleased():
            return "released", event.nonce, event.used
        case ev.RelayRequested():
            return "relay", event.number, event.digest, event.request
        case ev.RelayEnded():
            return "relayed", event.number, event.digest, event.account, event.transaction
        case ev.AccountRestricted():
            return "restricted", event.account, event.cancel_only
        case ev.CommandRejected():
            return "no", event.reason.value
        case ev.EpochClosed():
            return "epoch", event.epoch, event.first, event.last, event.volume, event.count
        case ev.MarketStateChanged():
            return "market", event.market, str(event.state), event.by
        case ev.OperatorsChanged():
            return "operators", *event.operators
        case ev.MarketRequested():
            return "asked", event.market, event.symbol
        case ev.Diverged():
            return "diverged", event.what
        case ev.AgentChanged():
            return "agent", event.account, event.agent, event.expiry, event.notional, event.markets, event.is_revoked
        case ev.IndexLowered():
            return "loss", event.index, event.new_index, event.shortfall
        case ev.VenueStateChanged():
            return "venue", event.state.value, event.reason
    return None


def stories(happenings: list[tuple[Any, ...]]) -> list[list[tuple[Any, ...]]]:
    """Order matters, but not between accounts that are uncovered by one command: their tellings are sorted."""
    loose = [h for h in happenings if h[0] == "restricted" or (h[0] == "closed" and h[2] == "UNCOVERED")]
    return [[h for h in happenings if h not in loose], sorted(loose)]


def agree(engine: Engine, twin: Naive) -> None:
    """Every balance, every level, every open order."""
    for account in sorted(twin.accounts):
        for token in sorted(twin.tokens):
            key = (Address(account), Address(token))
            found = parts_of(engine.ledger, *key) if key in engine.ledger.balances else []
            parts = {part.subaccount: part for part in found}
            for number in {**parts, **dict.fromkeys(twin.parts_of(account))}:
                has = parts[number].as_tuple() if number in parts else (0, 0, 0, 0)
                assert has == twin.money(account, token, number), (account, token, number)
    open_orders = {ticket.digest: ticket.filled for a in engine.accounts.values() for ticket in a.open.values()}
    assert open_orders == {placed.digest: placed.filled for placed in twin.resting}
    for number, book in engine.books.items():
        for side in (0, 1):
            sizes: dict[int, int] = {}
            for placed in twin.resting:
                if (placed.order.market, placed.order.side, placed.waiting) == (number, side, False):
                    price = placed.order.price_ticks
                    sizes[price] = sizes.get(price, 0) + placed.visible
            check_queues(book.ladder(side), twin, number)
            ladder = [(level.price, level.size) for level in book.ladder(side).best_first()]
            assert ladder == sorted(sizes.items(), reverse=side == 0)
    locked = sum(twin.locked.values())
    for token in twin.tokens:
        settled, pending = engine.ledger.totals(token)  # type: ignore[arg-type]
        assert pending == sum(
            amount
            for fill in twin.fills[twin.decided :]
            for _, what, amount in fill.moves
            if what == token and (fill.maker is not None or amount < 0)
        )
        assert settled + (locked if token == QUOTE else 0) == engine.flows.get(token, 0)  # type: ignore[call-overload]


def check_queues(ladder: Ladder, twin: Naive, market: int) -> None:
    """Order by order, the first in the queue first."""
    for level in ladder.best_first():
        queue = [ticket.digest for ticket in level.orders()]
        here = (market, ladder.side, level.price)
        standing = [
            p for p in twin.resting if (p.order.market, p.order.side, p.order.price_ticks) == here and not p.waiting
        ]
        assert queue == [p.digest for p in sorted(standing, key=lambda placed: (placed.rank, placed.number))]
