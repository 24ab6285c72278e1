"""`hooats order`: place, cancel and list, signed with a key file."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from offchain.cli import options
from offchain.cli.failures import Negative
from offchain.client import HooatsClient, Refused
from offchain.security.keys import load_key


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
    default="GTC",
    show_default=True,
    help="Time in force; market orders are IOC unless FOK is given.",
)
@click.option("--post-only", is_flag=True, help="Refuse the order if it would take liquidity.")
@click.option("--expiry", type=int, default=0, help="Unix seconds; needed for GTD.")
@click.option(
    "--slot", type=int, default=0, help="Nonce slot; an order that rests there is replaced. A free one if not given."
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
    tif: str,
    post_only: bool,
    expiry: int,
    slot: int,
    client_order_id: str,
    key: Path,
    password_file: Path | None,
    api: str,
    as_json: bool,
) -> None:
    """Sign and send one order: SYMBOL buy|sell SIZE PRICE, e.g. `BTC-USDC buy 0.01 61500.1`."""
    if kind == "market" and tif != "FOK":
        tif = "IOC"

    async def send(client: HooatsClient) -> Any:
        details = {"type": kind, "time_in_force": tif, "post_only": post_only, "expiry": expiry}
        return await client.place(
            symbol, side, price, size, slot=slot or None, client_order_id=client_order_id, **details
        )

    _print(_run(api, key, password_file, send), as_json)


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

    async def send(client: HooatsClient) -> Any:
        return await (client.cancel_all() if everything else client.cancel(order_id))

    _print(_run(api, key, password_file, send), as_json)


@order.command("list")
@click.option(
    "--status", type=click.Choice(["open", "closed"]), default="open", show_default=True, help="Which orders."
)
@options.key
@options.password_file
@options.api
@options.as_json
def list_orders(status: str, key: Path, password_file: Path | None, api: str, as_json: bool) -> None:
    """List your orders."""

    async def send(client: HooatsClient) -> Any:
        return await client.orders(status=status)

    _print(_run(api, key, password_file, send), as_json)


def _run(api: str, key: Path, password_file: Path | None, send: Callable[[HooatsClient], Awaitable[Any]]) -> Any:
    secret = load_key(key, password_file).secret

    async def connected() -> Any:
        async with HooatsClient(api, secret) as client:
            try:
                return await send(client)
            except Refused as refused:
                raise Negative(refused.message, remedy=refused.remedy) from None

    return asyncio.run(connected())


def _print(answer: Any, as_json: bool) -> None:
    plain = msgspec.to_builtins(answer)
    click.echo(json.dumps(plain) if as_json else json.dumps(plain, indent=2))
