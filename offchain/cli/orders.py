"""`hooats order`: place, cancel and list, signed with a key file. A line per order, or JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from offchain.cli import options
from offchain.cli.exchange import ask
from offchain.cli.failures import Negative
from offchain.client import HooatsClient, Order, Placed, Refused, Routed
from offchain.domain.limits import SLOT_MAX
from offchain.domain.units import Address

Decorator = Callable[[Callable[..., None]], Callable[..., None]]
WISHES: tuple[Decorator, ...] = (
    click.option("--stop-loss", "stop_loss_price", metavar="PRICE", help="Wait until the price is there: a stop."),
    click.option("--take-profit", "take_profit_price", metavar="PRICE", help="Wait until the price is there: a gain."),
    click.option(
        "--trigger",
        "trigger_price_type",
        type=click.Choice(["mark", "last"]),
        default="mark",
        show_default=True,
        help="Which price it waits for.",
    ),
    click.option("--immediate", is_flag=True, help="Cancel what does not match at once when the trigger comes."),
    click.option("--reduce-only", is_flag=True, help="Sell no more than what is settled and free."),
    click.option("--visible", "visible_size", metavar="SIZE", help="Show so much at a time (iceberg)."),
    click.option("--trailing", "trailing_amount", metavar="PRICE", help="The stop follows the price at this distance."),
    click.option(
        "--self-trade",
        "self_trade_prevention",
        type=click.Choice(["EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "NONE"]),
        default="EXPIRE_MAKER",
        show_default=True,
        help="Who gives way if it meets an order of your own, or of your group.",
    ),
)


def with_wishes(command: Callable[..., None]) -> Callable[..., None]:
    """Conditions, and what an order asks for beside its price."""
    for wish in reversed(WISHES):
        command = wish(command)
    return command


@click.group()
def order() -> None:
    """Place, amend, cancel and list orders through the gateway."""


@order.command("place")
@click.argument("symbol")
@click.argument("side", type=click.Choice(["buy", "sell"]))
@click.argument("size")
@click.argument("price")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["limit", "market"]),
    default="limit",
    show_default=True,
    help="A market order's PRICE is the worst price that you accept.",
)
@click.option(
    "--tif",
    type=click.Choice(["GTC", "GTD", "IOC", "FOK"]),
    help="Time in force. GTC if not given; market orders, --amm and --route best are immediate: IOC, or FOK.",
)
@click.option("--post-only", is_flag=True, help="Refuse the order if it would take liquidity.")
@click.option("--amm", is_flag=True, help="Trade with the market's AMM pair only, whole or not at all.")
@click.option(
    "--route",
    type=click.Choice(["book", "best"]),
    default="book",
    show_default=True,
    help="best: now, split between order book and AMM pair as `hooats quote` shows; PRICE is the worst you accept.",
)
@click.option("--expiry", type=int, default=0, help="Unix seconds; needed for GTD.")
@click.option(
    "--slot",
    type=click.IntRange(0, SLOT_MAX),
    default=0,
    help="Nonce slot; an order that rests there is replaced. A free one if not given.",
)
@click.option("--client-order-id", default="", help="Your own name for the order, unique per account.")
@with_wishes
@options.key
@options.password_file
@options.account
@options.api
@options.as_json
def place(
    symbol: str,
    side: str,
    size: str,
    price: str,
    kind: str,
    tif: str | None,
    post_only: bool,
    amm: bool,
    route: str,
    expiry: int,
    slot: int,
    client_order_id: str,
    key: Path,
    password_file: Path | None,
    account: Address | None,
    api: str,
    as_json: bool,
    **wishes: Any,
) -> None:
    """Sign and send one order.

    Like: hooats order place BTC-USDC buy 0.01 61500.1
    """
    is_immediate = kind == "market" or amm or route == "best"
    if is_immediate and tif in ("GTC", "GTD"):
        raise click.UsageError(f"an order of this kind never rests, so it cannot be {tif}; IOC or FOK can")
    if tif == "GTD" and not expiry:
        raise click.UsageError("--tif GTD needs --expiry, in unix seconds")
    if route == "best":
        is_plain = all(value in (None, False, "mark", "EXPIRE_MAKER") for value in wishes.values())
        if amm or post_only or slot or expiry or client_order_id or tif == "FOK" or not is_plain:
            words = "--route best takes no --amm, --post-only, --slot, --expiry, --client-order-id, FOK or condition"
            raise click.UsageError(words)
        routed = ask(
            api, key, password_file, lambda client: client.place_routed(symbol, side, size, price), account=account
        )
        _print_routed(routed, as_json)
        return
    details = {
        "type": kind,
        "time_in_force": "FOK" if tif == "FOK" else "IOC" if is_immediate else tif or "GTC",
        "post_only": post_only,
        "expiry": expiry,
        "amm": amm,
        "slot": slot or None,
        "client_order_id": client_order_id,
        **wishes,
    }

    async def send(client: HooatsClient) -> Placed:
        return await client.place(symbol, side, price, size, **details)

    placed = ask(api, key, password_file, send, sends=True, account=account)
    _print(placed, [describe(placed.order)], as_json)


@order.command("amend")
@click.argument("order_id")
@click.argument("size")
@options.key
@options.password_file
@options.account
@options.api
@options.as_json
def amend(
    order_id: str, size: str, key: Path, password_file: Path | None, account: Address | None, api: str, as_json: bool
) -> None:
    """Make an order smaller, in its place in the queue.

    SIZE is with what has filled.
    """
    found = ask(api, key, password_file, lambda client: client.amend(order_id, size), sends=True, account=account)
    _print(found, [describe(found)], as_json)


@order.command("cancel-all-after")
@click.argument("seconds", type=float)
@options.key
@options.password_file
@options.account
@options.api
@options.as_json
def cancel_all_after(
    seconds: float, key: Path, password_file: Path | None, account: Address | None, api: str, as_json: bool
) -> None:
    """Cancel all orders SECONDS from now, unless said again before.

    0 takes it back.
    """
    millis = round(seconds * 1000)
    deadline = ask(api, key, password_file, lambda client: client.cancel_all_after(millis), sends=True, account=account)
    words = "nothing is cancelled" if deadline is None else f"everything is cancelled in {seconds:g} s"
    _print({"deadline": deadline}, [words], as_json)


@order.command("cancel")
@click.argument("order_id", required=False, default="")
@click.option("--all", "everything", is_flag=True, help="Cancel all your open orders.")
@click.option("--symbol", help="With --all: of this market only.")
@click.option("--side", type=click.Choice(["buy", "sell"]), help="With --all: of this side only.")
@options.key
@options.password_file
@options.account
@options.api
@options.as_json
def cancel(
    order_id: str,
    everything: bool,
    symbol: str | None,
    side: str | None,
    key: Path,
    password_file: Path | None,
    account: Address | None,
    api: str,
    as_json: bool,
) -> None:
    """Cancel the order ORDER_ID, or all of them."""
    if bool(order_id) == everything or (order_id and (symbol or side)):
        raise click.UsageError("give an ORDER_ID, or --all with or without --symbol and --side")
    if everything:
        cancelled = ask(
            api, key, password_file, lambda client: client.cancel_all(symbol, side), sends=True, account=account
        )
        _print(cancelled, [f"cancelled {len(cancelled)} orders", *cancelled], as_json)
        return
    found = ask(api, key, password_file, lambda client: client.cancel(order_id), sends=True, account=account)
    _print(found, [describe(found)], as_json)


@order.command("list")
@click.option(
    "--status", type=click.Choice(["open", "closed"]), default="open", show_default=True, help="Which orders."
)
@options.key
@options.password_file
@options.account
@options.api
@options.as_json
def list_orders(
    status: str, key: Path, password_file: Path | None, account: Address | None, api: str, as_json: bool
) -> None:
    """List your orders, the newest first."""
    found = ask(api, key, password_file, lambda client: client.orders(status=status), account=account)
    _print(found, [describe(row) for row in found] or [f"no {status} orders"], as_json)


def describe(row: Order) -> str:
    """An order in one line: what it is, how it stands, its id."""
    where = " with the AMM pair" if row.amm else ""
    if row.waiting:
        where += f", waits for {row.trigger_price or 'another order'}"
    filled = f"{row.filled} of {row.amount} filled" + (f" at {row.average} on average" if row.average else "")
    status = row.status + (f" ({row.reason})" if row.reason and row.status != "closed" else "")
    return f"{row.symbol} {row.side} {row.amount} at {row.price}{where}: {status}, {filled}; {row.id}"


def _print_routed(routed: Routed, as_json: bool) -> None:
    lines, results = [], {"book": routed.book, "amm": routed.amm}
    for name, result in results.items():
        if isinstance(result, Refused):
            lines.append(f"{name}: refused, {result}")
        elif result is not None:
            lines.append(f"{name}: {describe(result.order)}")
    answer: dict[str, Any] = {
        name: {"refused": str(result)} if isinstance(result, Refused) else result for name, result in results.items()
    }
    if not lines:
        raise Negative("nothing to trade with within that price", remedy="`hooats quote` shows what there is")
    _print({"quote": routed.quote, **answer}, lines, as_json)
    if any(isinstance(result, Refused) for result in results.values()):
        raise Negative("a part of the order was refused", remedy="Ask `hooats quote` again for the rest")


def _print(answer: Any, lines: list[str], as_json: bool) -> None:
    click.echo(json.dumps(msgspec.to_builtins(answer)) if as_json else "\n".join(lines))
