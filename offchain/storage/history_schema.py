"""Tables of the history database: what happened, for people and pages. All of it can be rebuilt from the journal."""

import sqlalchemy as sa

from offchain.storage.databases import Amount

VERSION = 1
SCHEMA = sa.MetaData()


def _text(name: str, primary_key: bool = False, index: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, primary_key=primary_key, index=index)


def _number(name: str, primary_key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, autoincrement=False, primary_key=primary_key)


def _amount(name: str) -> sa.Column[int]:
    return sa.Column(name, Amount, nullable=False)


cursors = sa.Table(
    "cursors", SCHEMA, _text("name", primary_key=True), _number("sequence"), _number("at"), _text("record")
)
"""One row: the last command that is in all tables, and the hash of its record, which names the journal."""

markets = sa.Table("markets", SCHEMA, _number("market", primary_key=True), _text("opened"))
"""JSON of MarketOpened."""

orders = sa.Table(
    "orders",
    SCHEMA,
    _number("sequence", primary_key=True),
    _number("at"),
    _text("digest", index=True),
    _text("account"),
    _number("subaccount"),
    _number("market"),
    _number("side"),
    _number("kind"),
    _number("time_in_force"),
    _number("flags"),
    _amount("price_ticks"),
    _amount("size_lots"),
    _amount("nonce"),
    _amount("expiry"),
    _text("client_order_id"),
    _number("maker_fee_ppm"),
    _number("taker_fee_ppm"),
    _text("status"),
    _text("reason"),
    _number("filled_lots"),
    _amount("cost_atoms"),
    _amount("fee_atoms"),
    sa.Column("last_trade_at", sa.BigInteger),
    _number("updated_at"),
    sa.Index("orders_of_account", "account", "sequence"),
)
"""Every sequenced order by the sequence of its command, accepted or not."""

triggers = sa.Table("triggers", SCHEMA, _number("sequence", primary_key=True), _amount("trigger_ticks"))
"""Of conditional orders."""

fills = sa.Table(
    "fills",
    SCHEMA,
    _number("fill", primary_key=True),
    _number("sequence"),
    _number("at"),
    _number("market"),
    _text("maker_digest", index=True),
    _text("taker_digest", index=True),
    _text("maker"),
    _text("taker"),
    _number("taker_side"),
    _number("price_ticks"),
    _number("size_lots"),
    _amount("notional"),
    _number("maker_fee_ppm"),
    _number("taker_fee_ppm"),
    _amount("maker_fee"),
    _amount("taker_fee"),
    _text("state"),
    sa.Column("batch", sa.BigInteger),
    sa.Column("refusal", sa.Integer),
    _text("reason"),
    _text("transaction"),
    _number("updated_at"),
    sa.Index("fills_of_maker", "maker", "fill"),
    sa.Index("fills_of_taker", "taker", "fill"),
    sa.Index("fills_of_market", "market", "fill"),
)
"""`refusal` is the chain's reason; `reason` why the operator took the fill back."""

balances = sa.Table(
    "balances",
    SCHEMA,
    _text("account", primary_key=True),
    _text("token", primary_key=True),
    _amount("settled"),
    _amount("pending"),
    _amount("owed"),
    _amount("held"),
    _amount("leaving"),
    _number("sequence"),
)

batches = sa.Table(
    "batches",
    SCHEMA,
    _number("batch", primary_key=True),
    _number("first"),
    _number("last"),
    _number("sequence"),
    _number("at"),
)

epochs = sa.Table(
    "epochs",
    SCHEMA,
    _number("epoch", primary_key=True),
    _number("first"),
    _number("last"),
    _number("at"),
    _text("hash"),
    _text("header"),
)
"""`header` is the JSON of EpochHeader, `hash` its hash; leaves are the orders from first to last."""

chain_events = sa.Table(
    "chain_events",
    SCHEMA,
    _number("event_sequence", primary_key=True),
    _number("sequence"),
    _text("kind"),
    sa.Column("account", sa.Text, index=True),
    sa.Column("token", sa.Text),
    sa.Column("amount", Amount),
    _text("transaction"),
    _number("block_number"),
    _number("block_time"),
    _text("log"),
)
"""Final chain logs as the engine took them: deposits, withdrawals and the rest."""

venue_events = sa.Table(
    "venue_events",
    SCHEMA,
    _number("sequence", primary_key=True),
    _number("position", primary_key=True),
    _number("at"),
    _text("kind", index=True),
    _text("event"),
)
"""Events about the venue, its markets, restrictions, approvals and divergences; `event` is JSON."""

trades = sa.text("CREATE VIEW trades AS SELECT fill, market, at, price_ticks, size_lots, taker_side, state FROM fills")


@sa.event.listens_for(SCHEMA, "after_create")
def _create_views(target: sa.MetaData, connection: sa.Connection, **_: object) -> None:
    connection.execute(trades)
