"""The trader's end: signs orders, talks to a gateway over HTTP and WebSocket, survives lost answers.

    async with HooatsClient("http://127.0.0.1:8080", key) as client:
        placed = await client.place("BTC-USDC", "buy", "61500", "0.01")

Invariant: imports only the domain; what is signed here is hashed by the same module as everywhere. A request whose
outcome is unknown is sent again unchanged, which the venue answers with the first result.
"""

from offchain.client.answers import (
    Agent,
    AgentRequest,
    Approval,
    Balance,
    Deposit,
    Fees,
    Fill,
    Order,
    Placed,
    Pool,
    Protection,
    Quote,
    Receipt,
    SubaccountBalance,
)
from offchain.client.book import LocalBook
from offchain.client.failures import ExchangeUnreachable, Refused
from offchain.client.http import Batch, HooatsClient, Routed
from offchain.client.live import LiveAccount, follow_book
from offchain.client.orders import Nonces, SignedOrder, Signer, Ticket
from offchain.client.stream import Stream

__all__ = [
    "Agent",
    "AgentRequest",
    "Approval",
    "Balance",
    "Batch",
    "Deposit",
    "ExchangeUnreachable",
    "Fees",
    "Fill",
    "HooatsClient",
    "LiveAccount",
    "LocalBook",
    "Nonces",
    "Order",
    "Placed",
    "Pool",
    "Protection",
    "Quote",
    "Receipt",
    "Refused",
    "Routed",
    "SignedOrder",
    "Signer",
    "Stream",
    "SubaccountBalance",
    "Ticket",
    "follow_book",
]
