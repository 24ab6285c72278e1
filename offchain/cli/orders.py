"""`hooats order`: place, cancel and list, signed with a key file. A line per order, or JSON."""

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from offchain.cli import options
from offchain.cli.exchange import ask
from offchain.cli.failures import Negative
from offchain.client import HooatsClient, Order, Placed, Refused, Routed
from offchain.domain.limits import SLOT_MAX


@click.group()
def order() -> None:
    """Place, cancel and list orders through the gateway."""


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
@options.key
@options.password_file
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
    api: str,
    as_json: bool,
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
        if amm or post_only or slot or expiry or client_order_id or tif == "FOK":
            words = "--route best takes no --amm, --post-only, --slot, --expiry, --client-order-id or FOK"
            raise click.UsageError(words)
        routed = ask(api, key, password_file, lambda client: client.place_routed(symbol, side, size, price))
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
    }

    async def send(client: HooatsClient) -> Placed:
        return await client.place(symbol, side, price, size, **details)

    placed = ask(api, key, password_file, send, sends=True)
    _print(placed, [describe(placed.order)], as_json)


@order.command("cancel")
@click.argument("order_id", required=False, default="")
@click.option("--all", "everything", is_flag=True, help="Cancel all your open orders.")
@options.key
@options.password_file
@options.api
@options.as_json
def cancel(order_id: str, everything: bool, key: Path, password_file: Path | None, api: str, as_json: bool) -> None:
    """Cancel the order ORDER_ID, or all of them."""
    if bool(order_id) == everything:
        raise click.UsageError("give an ORDER_ID or --all")
    if everything:
        cancelled = ask(api, key, password_file, lambda client: client.cancel_all(), sends=True)
        _print(cancelled, [f"cancelled {len(cancelled)} orders", *cancelled], as_json)
        return
    found = ask(api, key, password_file, lambda client: client.cancel(order_id), sends=True)
    _print(found, [describe(found)], as_json)


@order.command("list")
@click.option(
    "--status", type=click.Choice(["open", "closed"]), default="open", show_default=True, help="Which orders."
)
@options.key
@options.password_file
@options.api
@options.as_json
def list_orders(status: str, key: Path, password_file: Path | None, api: str, as_json: bool) -> None:
    """List your orders, the newest first."""
    found = ask(api, key, password_file, lambda client: client.orders(status=status))
    _print(found, [describe(row) for row in found] or [f"no {status} orders"], as_json)


def describe(row: Order) -> str:
    """An order in one line: what it is, how it stands, its id."""
    where = " with the AMM pair" if row.amm else ""
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
