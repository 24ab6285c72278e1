"""What owners sign and the venue's relay sends for them, at the venue's cost: deposits by permit, agents.

Commands as those of `domain.command`, which has them all; fields are only added.
"""

import msgspec

from offchain.domain.units import Address, Digest


class RequestDeposit(msgspec.Struct, frozen=True, kw_only=True, tag="request_deposit"):
    """`account` moves `amount` atoms of the settlement token into its Vault account by an ERC-2612 permit of the Vault.

    `token_domain`: EIP-712 domain separator of the token, with which the gateway recovered the signer. `nonce` is the
    token's, `deadline` in unix seconds.
    """

    account: Address
    amount: int
    nonce: int
    deadline: int
    token_domain: Digest
    signature: str
    signer: Address


class RequestAgent(msgspec.Struct, frozen=True, kw_only=True, tag="request_agent"):
    """`account` lets `agent` sign its orders: terms as in `AgentTerms`, signed as `Agent` for Settlement."""

    account: Address
    agent: Address
    expiry: int
    notional: int
    markets: tuple[int, ...]
    nonce: int
    deadline: int
    signature: str
    signer: Address


RelayRequest = RequestDeposit | RequestAgent
