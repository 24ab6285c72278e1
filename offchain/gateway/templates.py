"""GET /v1/eip712 and /v1/capabilities: what a wallet needs to sign, and what a bot needs to know before it starts."""

from typing import Any

from offchain.domain import eip712, limits
from offchain.domain.amm import FEE_PPM
from offchain.domain.order import TimeInForce
from offchain.gateway import failures
from offchain.gateway.channels import ADMIN, MARKET_CHANNELS, PRIVATE_CHANNELS, VENUE
from offchain.gateway.sessions import WINDOW_MILLIS
from offchain.gateway.settings import GatewaySettings

_ACCOUNT = "the Vault account, and the signer"
_FIELDS: dict[str, dict[str, str]] = {
    "Order": {
        "account": _ACCOUNT,
        "subaccount": "0",
        "market": "number of the market, from /v1/markets",
        "side": "0 buy, 1 sell",
        "kind": "0 limit, 1 market (an immediate order whose price is the worst that is acceptable)",
        "timeInForce": "0 GTC, 1 IOC, 2 FOK, 3 GTD",
        "flags": "1 post-only; 2 reduce-only; 4 trades with the market's AMM pair only, whole or not at all (IOC, FOK "
        "and market); with a trigger: 8 on the last price and not the mark, 16 takes profit, 32 immediate once it came",
        "priceTicks": "price / tickSize",
        "sizeLots": "size / lotSize",
        "triggerTicks": "trigger price / tickSize of a conditional order, else 0",
        "maxFeePpm": "highest fee of the notional that is acceptable, in millionths",
        "nonce": "slot << 48 | sequence: slot 0 for IOC, FOK and market orders, 1..65535 for orders that rest; "
        "sequence is milliseconds, above every earlier one of the slot; it replaces what rests in the slot",
        "expiry": "unix seconds, 0 for never",
    },
    "Cancel": {"account": _ACCOUNT, "nonce": "nonce of the order; its slot is dead up to there"},
    "CancelAll": {"account": _ACCOUNT, "floor": "sequences below it are dead in every slot"},
    "Agent": {
        "account": _ACCOUNT,
        "agent": "the key that may sign orders of the account, and nothing else",
        "expiry": "unix seconds from which it matches no more",
        "notional": "what its orders may trade in all, in atoms of the settlement token",
        "markets": "numbers of the markets that it may trade; none for every market",
        "nonce": "how often this agent was registered before: the last value of Settlement's agentOf",
        "deadline": "unix seconds, the last moment it may be registered",
    },
    "BulkOrder": {
        "root": f"of a tree of {2**limits.BULK_DEPTH} leaves keccak256(0x00 | hashStruct(order)), unused ones 0, with "
        "nodes keccak256(0x01 | left | right); only agents sign these"
    },
    "Session": {
        "account": _ACCOUNT,
        "issuedAt": "unix seconds, now",
        "expiry": f"unix seconds, at most {limits.SESSION_LIFETIME_SECONDS} after issuedAt",
    },
    "Withdraw": {
        "account": _ACCOUNT,
        "token": "address of the token",
        "amount": "atoms",
        "destination": "who receives it",
        "asCxpt": "true to receive CXPT for USDC",
        "nonce": "any number that the account has not used for a withdrawal",
        "deadline": "unix seconds, the last moment it may be executed",
    },
    "Approval": {
        "purpose": "of a withdrawal hashStruct of its Withdraw, else keccak256 of HOOATS.lock or HOOATS.burn",
        "nonce": "sequence of the command that granted it",
    },
    "Receipt": {
        "sequence": "position in the journal",
        "at": "unix milliseconds",
        "orderHash": "digest of the order, its id",
    },
}
_TYPES = {
    "Order": (eip712.ORDER_TYPE, "settlement"),
    "Cancel": (eip712.CANCEL_TYPE, "settlement"),
    "CancelAll": (eip712.CANCEL_ALL_TYPE, "settlement"),
    "Agent": (eip712.AGENT_TYPE, "settlement"),
    "BulkOrder": (eip712.BULK_ORDER_TYPE, "settlement"),
    "Session": (eip712.SESSION_TYPE, "settlement"),
    "Withdraw": (eip712.WITHDRAW_TYPE, "vault"),
    "Approval": (eip712.APPROVAL_TYPE, "vault"),
    "Receipt": (eip712.RECEIPT_TYPE, "commitment"),
}


def eip712_json(settings: GatewaySettings) -> dict[str, Any]:
    """name -> `types`, `primaryType`, `domain` of eth_signTypedData_v4, and a word on every field."""
    templates = {}
    for name, (type_string, contract) in _TYPES.items():
        verifying_contract = getattr(settings, contract)
        template = eip712.typed_data_template(type_string, settings.chain_id, verifying_contract)
        templates[name] = template | {"typeString": type_string, "fields": _FIELDS[name]}
    return templates


def capabilities_json(settings: GatewaySettings) -> dict[str, Any]:
    """In the words of ccxt's `features`, so that it need not be kept by hand there."""
    return {
        "version": "v1",
        "chainId": settings.chain_id,
        "contracts": {
            "vault": settings.vault,
            "settlement": settings.settlement,
            "commitment": settings.commitment,
            "quoteToken": settings.quote_token,
        },
        "features": {
            "spot": {
                "sandbox": settings.chain_id != 999,
                "createOrder": {
                    "marginMode": False,
                    "triggerPrice": False,
                    "triggerPriceType": None,
                    "stopLossPrice": False,
                    "takeProfitPrice": False,
                    "attachedStopLossTakeProfit": None,
                    "timeInForce": {tif.name: True for tif in TimeInForce} | {"PO": True},
                    "hedged": False,
                    "selfTradePrevention": {"expireMaker": True},
                    "trailing": False,
                    "iceberg": False,
                    "leverage": False,
                    "marketBuyByCost": False,
                },
                "createOrders": {"max": limits.ORDERS_PER_REQUEST_MAX},
                "fetchMyTrades": {"limit": limits.PAGE_LIMIT_MAX},
                "fetchOrder": {},
                "fetchOpenOrders": {"limit": limits.PAGE_LIMIT_MAX},
                "fetchClosedOrders": {"limit": limits.PAGE_LIMIT_MAX},
            }
        },
        "limits": {
            "bodyBytes": limits.BODY_BYTES_MAX,
            "frameBytes": limits.FRAME_BYTES_MAX,
            "ordersPerRequest": limits.ORDERS_PER_REQUEST_MAX,
            "openOrdersPerAccount": limits.OPEN_ORDERS_PER_ACCOUNT_MAX,
            "subscriptionsPerConnection": limits.SUBSCRIPTIONS_PER_CONNECTION_MAX,
            "pageLimit": limits.PAGE_LIMIT_MAX,
            "clientOrderIdBytes": limits.CLIENT_ORDER_ID_BYTES_MAX,
            "sessionSeconds": limits.SESSION_LIFETIME_SECONDS,
            "timestampWindowMillis": WINDOW_MILLIS,
            "approvalSeconds": limits.APPROVAL_LIFETIME_SECONDS,
            "sequenceAheadMillis": limits.SEQUENCE_AHEAD_MILLIS_MAX,
        },
        "rates": {
            name: {"perSecond": rate.per_second, "burst": rate.burst}
            for name in ("address", "account", "cancel", "connection")
            for rate in (getattr(settings.rates, name),)
        },
        "channels": [*(f"{kind}:SYMBOL" for kind in MARKET_CHANNELS), VENUE, *PRIVATE_CHANNELS, f"{ADMIN}:SYMBOL"],
        "amm": {"orderFlag": "amm", "poolFeePpm": FEE_PPM, "marginPpm": limits.AMM_MARGIN_PPM},
        "errors": {
            code: {"status": status, "ccxt": failures.CCXT.get(code)} for code, status in failures.STATUS.items()
        },
    }
