"""Tables of the ops database: what keepers and the exchange process tell each other.

`chain_logs`, `heads`, `pools` and `marks` may be rewritten (reorgs, news); `inbox` is append-only and holds final logs;
`outbox` rows are functions of the journal; `transactions` and `attempts` are the keepers' memory of what they signed.
"""

import sqlalchemy as sa

from offchain.storage.databases import Amount

VERSION = 1
SCHEMA = sa.MetaData()

inbox = sa.Table(
    "inbox",
    SCHEMA,
    sa.Column("event_sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("block_number", sa.BigInteger, nullable=False, index=True),
    sa.Column("log", sa.Text, nullable=False),
)
"""Final logs in the contracts' own sequence, gapless from 1; `log` is the JSON of a chain log."""

cursors = sa.Table(
    "cursors",
    SCHEMA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
)
"""`blocks`: the highest final block whose logs are all in the inbox; `outbox`: complete to this journal sequence."""

journals = sa.Table(
    "journals",
    SCHEMA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("identity", sa.Text, nullable=False),
)
"""One row: which journal inbox and outbox belong to."""

pools = sa.Table(
    "pools",
    SCHEMA,
    sa.Column("market", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("base_reserve", Amount, nullable=False),
    sa.Column("quote_reserve", Amount, nullable=False),
    sa.Column("block_number", sa.BigInteger, nullable=False),
    sa.Column("block_time", sa.BigInteger, nullable=False),
)
"""The AMM pair of a market as the syncer saw it last: base atoms and quote units, at a block that need not be final."""

marks = sa.Table(
    "marks",
    SCHEMA,
    sa.Column("market", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("poster", sa.Text, primary_key=True),
    sa.Column("price_ticks", Amount, nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
)
"""What each poster said of a market last, signed; the sequencer makes a mark of them."""

outbox = sa.Table(
    "outbox",
    SCHEMA,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("next_payload", sa.Text),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
)
"""`next_payload` waits until no transaction with the present payload can be mined any more."""

countersignatures = sa.Table(
    "countersignatures",
    SCHEMA,
    sa.Column("nonce", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("signature", sa.Text, nullable=False),
)
"""Of approvals that are to be relayed; written by the sequencer, which alone has the attestation key."""

transactions = sa.Table(
    "transactions",
    SCHEMA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job", sa.Text, nullable=False, index=True),
    sa.Column("keeper", sa.Text, nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("calldata", sa.Text, nullable=False),
    sa.Column("gas", sa.BigInteger, nullable=False),
    sa.Column("nonce", sa.BigInteger),
    sa.Column("raw", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("max_fee", Amount, nullable=False),
    sa.Column("priority_fee", Amount, nullable=False),
    sa.Column("block_number", sa.BigInteger, nullable=False),
    sa.Column("block_hash", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

attempts = sa.Table(
    "attempts",
    SCHEMA,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("id", sa.Integer, nullable=False, index=True),
    sa.Column("raw", sa.Text, nullable=False),
    sa.Column("max_fee", Amount, nullable=False),
    sa.Column("priority_fee", Amount, nullable=False),
    sa.Column("signed_at", sa.BigInteger, nullable=False),
)
"""Every signed version of a transaction: any of them may be the one that is mined."""

leases = sa.Table(
    "leases",
    SCHEMA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
)

heads = sa.Table(
    "heads",
    SCHEMA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("parent", sa.Text, nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
)
"""Recent block headers, for finding the common ancestor after a reorg."""

chain_logs = sa.Table(
    "chain_logs",
    SCHEMA,
    sa.Column("block_number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("log_index", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("block_hash", sa.Text, nullable=False),
    sa.Column("event_sequence", sa.BigInteger, nullable=False, index=True),
    sa.Column("log", sa.Text, nullable=False),
)
"""Logs that were seen, final or not."""
