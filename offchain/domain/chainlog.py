"""Final EVM logs of Vault and Settlement, as the engine sees them.

Each carries `event_sequence`, the contracts' own gapless number. Twin: the events of contracts/interfaces. Only fields
are ever added.
"""

import msgspec

from offchain.domain.units import Address


class ChainLog(msgspec.Struct, frozen=True, kw_only=True, tag_field="log", tag=True):
    """Base of all; `block_time` in unix seconds."""

    event_sequence: int
    block_number: int
    block_time: int
    transaction: str


class Deposited(ChainLog, frozen=True, kw_only=True, tag="deposited"):
    account: Address
    token: Address
    amount: int
    balance: int


class WithdrawalRequested(ChainLog, frozen=True, kw_only=True, tag="withdrawal_requested"):
    account: Address
    token: Address
    amount: int
    destination: Address
    matures_at: int


class WithdrawalRequestCancelled(ChainLog, frozen=True, kw_only=True, tag="withdrawal_request_cancelled"):
    account: Address
    token: Address


class Withdrawn(ChainLog, frozen=True, kw_only=True, tag="withdrawn"):
    """`approval` is the nonce of the countersignature, 0 if a matured request was drawn on."""

    account: Address
    token: Address
    amount: int
    balance: int
    destination: Address
    as_cxpt: bool
    approval: int
    request_remaining: int


class CollateralLocked(ChainLog, frozen=True, kw_only=True, tag="collateral_locked"):
    account: Address
    amount: int
    balance: int
    approval: int
    request_remaining: int


class CollateralUnlocked(ChainLog, frozen=True, kw_only=True, tag="collateral_unlocked"):
    account: Address
    amount: int
    balance: int


class SynthMinted(ChainLog, frozen=True, kw_only=True, tag="synth_minted"):
    token: Address
    account: Address
    amount: int
    balance: int


class SynthBurned(ChainLog, frozen=True, kw_only=True, tag="synth_burned"):
    token: Address
    account: Address
    amount: int
    balance: int
    approval: int
    request_remaining: int


class SynthRegistered(ChainLog, frozen=True, kw_only=True, tag="synth_registered"):
    token: Address


class MarketListed(ChainLog, frozen=True, kw_only=True, tag="market_listed"):
    market: int
    base_token: Address
    base_atoms_per_lot: int
    quote_atoms_per_tick_lot: int
    base_decimals: int
    quote_decimals: int
    symbol: str


class OrderCancelledOnChain(ChainLog, frozen=True, kw_only=True, tag="order_cancelled"):
    account: Address
    nonce: int
    effective_at: int


class AllOrdersCancelledOnChain(ChainLog, frozen=True, kw_only=True, tag="all_orders_cancelled"):
    account: Address
    floor: int
    effective_at: int


class BatchSettled(ChainLog, frozen=True, kw_only=True, tag="batch_settled"):
    """`refusals` holds (fill offset from `first`, reason) pairs; `changes` (token, account, delta) of each balance that
    the batch changed, None where the contract did not say."""

    first: int
    last: int
    refusals: tuple[tuple[int, int], ...]
    changes: tuple[tuple[Address, Address, int], ...] | None = None


class AmmLegSettled(ChainLog, frozen=True, kw_only=True, tag="amm_leg_settled"):
    """The AMM leg of the batch whose `BatchSettled` follows. `amount_in` left the Vault to the pair, `amount_out` came
    back: quote units and base atoms for a buy, the other way round for a sale."""

    market: int
    fill: int
    is_buy: bool
    amount_in: int
    amount_out: int


class AgentRegistered(ChainLog, frozen=True, kw_only=True, tag="agent_registered"):
    """`agent` may sign orders of `account`: until `expiry` (unix seconds), for `notional` quote units in all, in these
    markets (none: in every one)."""

    account: Address
    agent: Address
    expiry: int
    notional: int
    markets: tuple[int, ...]


class AgentRevoked(ChainLog, frozen=True, kw_only=True, tag="agent_revoked"):
    account: Address
    agent: Address
    effective_at: int


class LossDeclared(ChainLog, frozen=True, kw_only=True, tag="loss_declared"):
    """The Vault holds `shortfall` atoms less of the settlement token than its units stood for: each unit stands for
    less from now on. `index` before and `new_index` after, as the Vault scales them."""

    index: int
    new_index: int
    shortfall: int


AnyChainLog = (
    Deposited
    | WithdrawalRequested
    | WithdrawalRequestCancelled
    | Withdrawn
    | CollateralLocked
    | CollateralUnlocked
    | SynthMinted
    | SynthBurned
    | SynthRegistered
    | MarketListed
    | OrderCancelledOnChain
    | AllOrdersCancelledOnChain
    | BatchSettled
    | AmmLegSettled
    | AgentRegistered
    | AgentRevoked
    | LossDeclared
)
