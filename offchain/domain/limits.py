"""Every bound of the product with its reason. Hitting one is a refusal or a halt, never a silent drop.

Relations between bounds are asserted at import; twins in Solidity are named.
"""

from typing import Final

# --- one constant W and one constant E (contracts/interfaces/Types.sol) ---
SETTLEMENT_WINDOW_SECONDS: Final = 5 * 60
"""Twin of SETTLEMENT_WINDOW: on-chain cancels and expiries bind settlement this much later."""
EXIT_DELAY_SECONDS: Final = 15 * 60
"""Twin of EXIT_DELAY: from a withdrawal request to its maturity."""
UPGRADE_DELAY_SECONDS_MIN: Final = 24 * 60 * 60
"""Twin of the Vault's MIN_UPGRADE_DELAY: everyone can be out before an upgrade."""
assert SETTLEMENT_WINDOW_SECONDS < EXIT_DELAY_SECONDS < UPGRADE_DELAY_SECONDS_MIN

# --- orders ---
FEE_PPM_MAX: Final = 10_000
"""Twin of MAX_FEE_PPM (1 %)."""
PRICE_TICKS_MAX: Final = 2**63 - 1
"""A price fits a signed 64-bit column."""
SIZE_LOTS_MAX: Final = 2**40 - 1
"""A filled size fits the 40 bits that packed settlement will give it."""
NOTIONAL_ATOMS_MAX: Final = 2**112 - 1
"""A notional, summed 2^15 times, still fits the uint128 of a Vault balance."""
SEQUENCE_AHEAD_MILLIS_MAX: Final = 24 * 60 * 60 * 1000
"""An order's sequence is client milliseconds; a day ahead is a mistake that would brick the slot."""
SLOT_MAX: Final = 2**16 - 1
SEQUENCE_MAX: Final = 2**48 - 1
CLIENT_ORDER_ID_BYTES_MAX: Final = 36
"""A UUID in text form."""
OPEN_ORDERS_PER_ACCOUNT_MAX: Final = 1_000
"""Bounds the newest-first cancellation of an uncovered account."""
RECENT_ORDERS_PER_ACCOUNT: Final = 10_000
"""Closed orders whose digest and client order id still answer with the first result."""

WAITING_ORDERS_PER_ACCOUNT_MAX: Final = 100
"""Orders that wait for a trigger or for another order: they hold no money, so only a number bounds them."""
TRAILING_ORDERS_PER_MARKET_MAX: Final = 200
"""Each price may move all of them."""
REACTIONS_PER_COMMAND_MAX: Final = 32
"""Orders whose trigger came enter the book after a command, so many at a time; the next one follows at once."""
TOGETHER_MAX: Final = 100
"""Orders, cancels and amends that happen all or not at all: their record stays below RECORD_BYTES_MAX."""
CANCEL_ALL_AFTER_MILLIS_MIN: Final = 1_000
"""A shorter one would fire on a slow network."""
CANCEL_ALL_AFTER_MILLIS_MAX: Final = 15 * 60 * 1000
"""A longer one protects nobody."""

# --- a market maker's protection ---
PROTECTIONS_PER_ACCOUNT_MAX: Final = 32
"""Every fill of a protected order looks at all of them."""
PROTECTED_MARKETS_MAX: Final = 100
"""By name; to name none is to name all."""
PROTECTION_WINDOW_MILLIS_MAX: Final = 5 * 60 * 1000
"""What was filled within it is remembered, millisecond by millisecond."""
PROTECTION_FREEZE_MILLIS_MAX: Final = 24 * 60 * 60 * 1000
"""Longer than that only until somebody looks: 0."""

# --- fee tiers ---
FEE_TIERS_MAX: Final = 16
"""Also of discounts: each order of an account may look at all of them once a day."""
VOLUME_DAYS: Final = 30
"""Of which the settled volume decides the tier, the current one not among them."""
CXPT_OBSERVED_MAX: Final = 500
"""Accounts of one command: their record stays below RECORD_BYTES_MAX."""

# --- sub-accounts ---
SUBACCOUNT_MAX: Final = 2**8 - 1
"""The signed field is a uint8."""
TRANSFERS_REMEMBERED: Final = 1_000
"""Of an account, by the id that it gave them: the same again is not done again. Part of the state."""

# --- settlement ---
FILLS_PER_BATCH_MAX: Final = 100
"""Twin of Settlement's MAX_FILLS; the gas estimate of `domain.batch` usually closes a batch earlier."""
ORDERS_PER_BATCH_MAX: Final = 200
"""Two of its own for every fill."""
FILLS_PER_IMMEDIATE_ORDER_MAX: Final = 40
"""The fills of an immediate order share one batch, whose gas usually ends them earlier: see `BatchRules`."""
assert FILLS_PER_IMMEDIATE_ORDER_MAX <= FILLS_PER_BATCH_MAX
BATCH_GAS_MAX: Final = 1_400_000
"""Under half of a 3M-gas block, so that two batches share one and neither waits for an empty one."""
BLOCK_GAS_LIMIT: Final = 3_000_000
"""Of HyperEVM's small blocks."""
BATCH_BLOCK_PERCENT: Final = 60
"""Of a smaller block a batch takes no more than this, so that it need not wait for an empty one."""
TURNED_BLOCK_PERCENT: Final = 95
"""Of a block, what a batch may need that all of its accounts turn on: below the settle keeper's limit."""
AGENT_UNLIMITED: Final = 2**128 - 1
"""Twin of Settlement's UNLIMITED: the notional of an agent whose trades are not counted."""
BULK_DEPTH: Final = 5
"""Twin of BulkTree.DEPTH: 32 orders under one signature."""
BATCHES_IN_FLIGHT_MAX: Final = 8
"""HyperEVM's mempool takes the next 8 nonces of an address."""
FILLS_PER_RESTING_ORDER_MAX: Final = 100
"""What one order that may rest can match at once; the rest of it is cancelled. Bounds the work of one command."""
SETTLEMENT_MILLIS_PER_FILL: Final = 60
"""Two batches of BATCH_GAS_MAX a second, eight fills between strangers each: how long a backlog takes to settle, unless
the venue's `BatchRules` say otherwise."""
BACKLOG_POST_ONLY_MILLIS: Final = 60_000
"""Older unsettled fills than this: no new order may take liquidity."""
BACKLOG_CANCEL_ONLY_MILLIS: Final = SETTLEMENT_WINDOW_SECONDS * 1000 // 2
"""Half of the settlement window is left for the backlog to settle in."""
assert BACKLOG_POST_ONLY_MILLIS < BACKLOG_CANCEL_ONLY_MILLIS < SETTLEMENT_WINDOW_SECONDS * 1000

# --- AMM ---
POOL_AGE_SECONDS_MAX: Final = 30
"""An AMM fill is promised from reserves that were observed this long before the latest block, at most."""
POOL_BLOCKS_AHEAD_MAX: Final = 1_000
POOL_SECONDS_AHEAD_MAX: Final = 10 * 60
"""Reserves of a block further beyond the last one whose logs are known are refused: a node that makes numbers up."""
AMM_MARGIN_PPM: Final = 1_000
"""What a promise keeps back of the pair's price, so that it stands while others trade; the rest is the taker's."""

# --- marks and bands ---
ORDER_RULES_MAX: Final = 2
"""The newest set of orders; see `SetOrderRules`."""
READINGS_MAX: Final = 32
"""Of a mark: the quorum's bound, and the feed's sources."""
MARK_AGE_MILLIS_MAX: Final = 60_000
"""An older mark says nothing about what the price is now."""
GROUP_ACCOUNTS_MAX: Final = 100

# --- markets ---
OPERATORS_MAX: Final = 16
"""Who may open and close markets is a handful of people; the list is part of the state hash."""
MARKET_NUMBER_MAX: Final = 2**32 - 1
SYNTH_NAME_BYTES_MAX: Final = 31
"""Twin of SynthFactory's bound on names and symbols."""
COLLATERAL_PERCENT_MIN: Final = 110
COLLATERAL_PERCENT_MAX: Final = 1_000
"""Twins of SynthIssuer's bounds on the maintenance and the initial ratio."""
PRICE_AGE_SECONDS_MAX: Final = 60 * 60
"""Twin of MAX_PRICE_AGE, PriceOracle's MAX_AGE."""
QUORUM_MAX: Final = 16
"""PriceOracle takes 16 posters and what the feed has of sources, which the list keeper adds: only this much is certain
to be taken."""

# --- countersignatures ---
APPROVAL_LIFETIME_SECONDS: Final = 120
"""A countersigned debit that is not on chain by then frees its hold; shorter than W, so it cannot outlive a fill."""
assert APPROVAL_LIFETIME_SECONDS < SETTLEMENT_WINDOW_SECONDS
APPROVALS_PER_ACCOUNT_MAX: Final = 32
WITHDRAWAL_DEADLINE_SECONDS_MAX: Final = 24 * 60 * 60
"""A signed withdrawal is remembered until its deadline, so that nobody has it granted twice."""

# --- what the relay sends for others, at the venue's cost ---
RELAY_SECONDS_MIN: Final = 60
"""From the request to its deadline: a relay that was just started again still gets it into a block."""
RELAY_SECONDS_MAX: Final = 60 * 60
"""What was asked for is remembered so long, so that nobody has the same sent twice."""
RELAYED_DEPOSIT_MIN: Final = 5
"""Whole units of the settlement token: some hundred times what sending it costs."""
RELAYED_PER_ACCOUNT_MAX: Final = 8
"""Within RELAY_SECONDS_MAX."""
RELAYED_BY_STRANGERS_MAX: Final = 1_000
"""Within RELAY_SECONDS_MAX, of all accounts without a balance here: as many as one likes are made for nothing."""
RELAYED_MAX: Final = 2_000
"""Within RELAY_SECONDS_MAX, in all: part of the state. The relay keeper itself sends far fewer an hour."""
RELAYED_ATOMS_MAX: Final = 2**88
"""As many units as the Vault takes in all."""
AGENT_MARKETS_MAX: Final = 64
"""Twin of Settlement's AGENT_MARKETS_MAX."""
assert RELAYED_BY_STRANGERS_MAX < RELAYED_MAX

# --- ingress ---
BODY_BYTES_MAX: Final = 64 * 1024
"""A hundred orders are 50 kB."""
ORDERS_PER_REQUEST_MAX: Final = 100
"""Their signatures are 3 ms of work: what one request keeps another one waiting for."""
FRAME_BYTES_MAX: Final = 64 * 1024
"""As much as a body."""
SUBSCRIPTIONS_PER_CONNECTION_MAX: Final = 100
"""Four channels of 20 markets, and one's own."""
PAGE_LIMIT_MAX: Final = 1_000
"""An answer of some hundred kB."""
SESSION_LIFETIME_SECONDS: Final = 24 * 60 * 60
"""A stolen session ends by itself within a day."""

# --- journal ---
RECORD_BYTES_MAX: Final = 64 * 1024
"""Of what comes over the socket, and of what the sequencer itself says."""
LOG_RECORD_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of a final log: the chain cannot be refused. 30M gas log 1.9 MB at most (8 gas a byte, and the memory of emitter and
caller), of which JSON makes 12 MB if all of it is control characters; as markets of an agent it is 240 kB."""
RECORDS_PER_GROUP_MAX: Final = 4_096
SEGMENT_BYTES: Final = 64 * 1024 * 1024
