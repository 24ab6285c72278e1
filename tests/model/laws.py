"""What must hold after every command, recomputed from the parts."""

from itertools import pairwise

from scene import QUOTE

from offchain.domain.event import OrderClosed
from offchain.domain.order import OrderStatus
from offchain.domain.units import Digest
from offchain.engine.engine import Engine
from offchain.engine.fills import FillState
from offchain.engine.ledger import AmmLegs, Balance, Legs
from offchain.engine.memory import key_of
from offchain.engine.orders import Ticket
from offchain.engine.parts import parts_of, settled_of
from offchain.engine.protecting import protection_refusal


def check(engine: Engine) -> None:
    """Every law of the engine's state; cheap enough for every command of a small venue."""
    _check_money(engine)
    _check_books(engine)
    _check_fills(engine)
    _check_protections(engine)
    _check_relayed(engine)


def _check_relayed(engine: Engine) -> None:
    """Each request in one place by number, digest and account; a deadline is watched as long as it is open."""
    relayed = engine._state.relayed
    entries = relayed._entries
    assert list(entries) == sorted(entries) and len(entries) == len(relayed._by_digest)
    assert all(relayed._by_digest[entry.told.digest] == number for number, entry in entries.items())
    counted = sorted(number for numbers in relayed._by_account.values() for number in numbers)
    assert counted == list(entries) and all(relayed._by_account.values())
    assert relayed.strangers == sum(entry.is_stranger for entry in entries.values())
    for account in relayed._by_account:
        assert all(told.request.account == account for told in relayed.open_of(account))
    watched = [(entry.told.request.deadline, number) for number, entry in entries.items() if entry.ended is None]
    assert sorted(relayed._deadlines) == sorted(watched)


def _check_protections(engine: Engine) -> None:
    """Sums are those of their rows; whoever places protected orders unseen is protected, and not frozen."""
    state = engine._state
    for protections in state.protections.values():
        for one in protections.values():
            assert one.amount == sum(amount for _, amount, _ in one.fills) and not one.is_exceeded()
            assert one.delta == sum(delta for _, _, delta in one.fills)
            instants = [at for at, _, _ in one.fills]
            assert instants == sorted(set(instants)) and not (instants and one.is_frozen(state.at))
    for number, book in engine.books.items():
        for traders in book.guarded.values():
            for trader in traders.values():
                assert protection_refusal(state, trader.account.address, number) is None


def _check_money(engine: Engine) -> None:
    held: dict[tuple[str, str, int], int] = {}
    for account in engine.accounts.values():
        for ticket in account.open.values():
            key = (account.address, ticket.balance.token, ticket.order.subaccount)
            assert ticket.balance.subaccount == ticket.order.subaccount
            held[key] = held.get(key, 0) + ticket.hold_per_lot * ticket.left
    pending: dict[tuple[str, str, int], int] = {}
    in_transit: dict[str, int] = {}
    for fill in engine.batches.unsettled.values():
        for balance, amount in moves_of(fill.legs):
            if isinstance(fill.legs, AmmLegs) and amount > 0:
                continue  # what a pair brings counts when it is there
            key = (balance.account, balance.token, balance.subaccount)
            pending[key] = pending.get(key, 0) + amount
            in_transit[balance.token] = in_transit.get(balance.token, 0) + amount
        assert fill.legs.fee >= 0
    uncovered: dict[str, int] = {}
    everything = [part for key in engine.ledger.balances for part in parts_of(engine.ledger, *key)]
    for balance in everything:
        address, key = balance.account, (balance.account, balance.token, balance.subaccount)
        assert balance.held == held.pop(key, 0)
        assert balance.pending == pending.pop(key, 0)
        assert settled_of(engine.ledger, balance.account, balance.token) >= 0
        assert balance.subaccount == 0 or balance.leaving == 0
        assert balance.settled >= 0 or engine.accounts[balance.account].is_split
        assert balance.leaving >= balance.requested >= 0
        assert balance.tradable >= 0 and balance.withdrawable >= 0
        assert balance.withdrawable <= max(0, balance.settled)
        if balance.cover < 0:
            uncovered[address] = uncovered.get(address, 0) + 1
            assert balance.held == 0, "what is not covered holds nothing"
        assert not balance.is_touched and balance.taken >= balance.owed >= 0
    assert not held and not any(pending.values())
    for account in engine.accounts.values():
        assert account.uncovered == uncovered.get(account.address, 0)
    for token, net in engine.flows.items():
        settled, pending_sum = engine.ledger.totals(token)
        locked = sum(engine.locked.values()) if token == QUOTE else 0
        assert locked >= 0
        assert (settled + locked, pending_sum) == (net, in_transit.get(token, 0))


def moves_of(legs: Legs | AmmLegs) -> list[tuple[Balance, int]]:
    """What a fill does to balances; between accounts it sums to nothing, with a pair to what that brings and takes."""
    if isinstance(legs, AmmLegs):
        return [(legs.quote, legs.quote_change), (legs.base, legs.base_change), (legs.fees, legs.fee)]
    return [
        (legs.buyer_quote, -legs.paid),
        (legs.buyer_base, legs.base_atoms),
        (legs.seller_quote, legs.received),
        (legs.seller_base, -legs.base_atoms),
        (legs.fees, legs.fee),
    ]


def _check_books(engine: Engine) -> None:
    resting = {ticket.digest for account in engine.accounts.values() for ticket in account.open.values()}
    for book in engine.books.values():
        assert book.bids.best < book.asks.best, "crossed at rest"
        for side in (0, 1):
            ladder = book.ladder(side)
            levels = list(ladder.best_first())
            prices = [level.price for level in levels]
            assert prices == sorted(prices, reverse=side == 0) and len(prices) == len(ladder.levels)
            assert ladder.best == (prices[0] if prices else ladder.empty)
            for level in levels:
                queue = list(level.orders())
                assert queue and all(one.level is level and one.order.side == side for one in queue)
                assert level.first() is queue[0] and queue == list(level.orders())
                in_order = all(older.sequence < newer.sequence for older, newer in pairwise(queue))
                assert in_order or engine._state.is_reordered, "compared with the twin's queues"
                assert level.size == sum(one.remaining for one in queue)
                for one in queue:
                    special = one.account.specials.get(one.nonce)
                    assert one.filled + one.left + (special.cut if special else 0) == one.size
                    assert not one.is_waiting and (special is None or not special.hidden or special.display)
                    assert 0 < one.remaining <= one.order.size_lots and one.status is OrderStatus.OPEN
                    assert one.account.open[one.order.nonce] is one and engine.find_order(one.digest) is not None
                    assert one.account.find(one.order.slot) is one and one.nonce == one.order.nonce
                    resting.discard(one.digest)
    for ticket in _check_waiting(engine):
        assert engine.find_order(ticket.digest) is not None
        resting.remove(ticket.digest)
    assert not resting, "an open order rests in its book, or waits"


def _check_waiting(engine: Engine) -> list[Ticket]:
    """Each in one place, by sequence, without money; who is linked is open, and linked back."""
    waiting, found = engine._state.waiting, list(engine._state.waiting.all_due())
    for queue in (*waiting.queues.values(), waiting.parents):
        assert sorted(queue.levels) == sorted(queue.sign * key for key in queue.keys)
        for level in queue.levels.values():
            here = list(level.orders())
            assert here and all(one.level is level for one in here) and len({one.sequence for one in here}) == len(here)
            assert here == sorted(here, key=lambda one: one.sequence)
            assert level.size == sum(one.remaining for one in here)
            found += here
    assert len(found) == waiting.count == len({ticket.sequence for ticket in found})
    for ticket in found:
        assert ticket.is_waiting and ticket.hold_per_lot == 0 and ticket.account.open[ticket.nonce] is ticket
    for sequence, other in waiting.links.items():
        one = waiting.links[other.sequence]
        assert one.sequence == sequence and one.reason is None and other.reason is None
    return found


def _check_fills(engine: Engine) -> None:
    backlog = engine.batches
    assert list(backlog.unsettled) == list(range(backlog.decided_fill + 1, backlog.last_fill + 1))
    expected = backlog.decided_fill + 1
    for batch in backlog.batches.values():
        assert batch.first == expected and batch.last >= batch.first
        expected = batch.last + 1
    assert expected == backlog.open_first
    _check_pools(engine)
    homes: dict[int, set[int]] = {}
    matched: dict[int, int] = {}
    tickets: dict[int, Ticket] = {}
    for fill in backlog.unsettled.values():
        is_open = fill.number >= backlog.open_first
        assert fill.state is (FillState.MATCHED if is_open else FillState.BATCHED)
        taker = fill.taker.order
        if fill.maker is not None:
            price = fill.maker.order.price_ticks
            assert price <= taker.price_ticks if taker.side == 0 else price >= taker.price_ticks
        assert fill.maker_fee_ppm + fill.taker_fee_ppm >= 0
        rates = (fill.taker_fee_ppm, fill.maker_fee_ppm)
        for ticket, ppm in zip(reversed(fill.tickets), rates, strict=False):
            assert ppm <= ticket.order.max_fee_ppm
            matched[ticket.sequence] = matched.get(ticket.sequence, 0) + fill.size_lots
            tickets[ticket.sequence] = ticket
        if taker.is_immediate:
            homes.setdefault(fill.taker.sequence, set()).add(engine.batch_of(fill.number) or 0)
    assert all(len(home) == 1 for home in homes.values()), "an immediate order's fills share a batch"
    for sequence, lots in matched.items():
        assert lots <= tickets[sequence].filled <= tickets[sequence].order.size_lots


def _check_pools(engine: Engine) -> None:
    """A pair is named by one undecided fill at most; that fill is a whole order, within its limit."""
    busy = {}
    for fill in engine.batches.unsettled.values():
        if isinstance(fill.legs, AmmLegs):
            order, legs = fill.taker.order, fill.legs
            assert legs.base.token not in busy and order.is_immediate and order.flags == 4
            assert fill.size_lots == order.size_lots == fill.taker.filled and fill.maker_fee_ppm == 0
            limit = engine.books[order.market].market.notional(order.price_ticks, order.size_lots)
            assert legs.quote_units <= limit if legs.is_buy else legs.quote_units >= limit
            busy[legs.base.token] = fill.number
    assert engine.batches.pools == busy


def check_memory(engine: Engine, limit: int) -> None:
    """Nobody is remembered for ever."""
    for account in engine.accounts.values():
        assert len(account.closed) <= limit and len(account.rejected) <= limit
        for closed in account.closed:
            digest = Digest("0x" + (key_of(closed) if isinstance(closed, bytes) else closed.key).hex())
            found = engine.find_order(digest)
            assert found is not None and isinstance(found[-1], OrderClosed) and found[-1].digest == digest
        for name in account.client_ids:
            digest = engine.find_client_order(account.address, name)
            found = None if digest is None else engine.find_order(digest)
            assert found is not None and found[0].client_order_id == name  # type: ignore[union-attr]
