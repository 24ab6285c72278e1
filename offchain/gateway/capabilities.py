"""GET /v1/capabilities: what a bot needs to know before it starts, in the shape of ccxt's `features`.

Invariant: what it says of an order is read off the request's own fields, so that it cannot promise what is not taken.
"""

from typing import Any

from offchain.domain import limits
from offchain.domain.amm import FEE_PPM
from offchain.domain.beside import SelfTrade
from offchain.domain.order import TimeInForce
from offchain.gateway import bounds, failures, schema
from offchain.gateway.channels import ADMIN, MARKET_CHANNELS, PRIVATE_CHANNELS, VENUE
from offchain.gateway.settings import LIMITS, GatewaySettings

_NO_TRIGGER = {"trigger": False, "trailing": False}
"""Conditional orders are asked for as all others."""
_TRIGGER_TYPES = {"last": True, "mark": True, "index": False}
_NO_MARGIN = {"marginMode": False, "symbolRequired": False}


def capabilities_json(settings: GatewaySettings) -> dict[str, Any]:
    """`features` is ccxt's; the rest is what it has no words for."""
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
            "spot": _spot(settings),
            "swap": {"linear": None, "inverse": None},
            "future": {"linear": None, "inverse": None},
            "option": None,
        },
        "precisionMode": "TICK_SIZE",
        "limits": _limits(settings),
        "rates": {
            name: {"perSecond": rate.per_second, "burst": rate.burst}
            for name in LIMITS
            for rate in (getattr(settings.rates, name),)
        },
        "ban": {
            "firstSeconds": settings.rates.ban.first_seconds,
            "longestSeconds": settings.rates.ban.longest_seconds,
            "calmSeconds": settings.rates.ban.calm_seconds,
        },
        "channels": [*(f"{kind}:SYMBOL" for kind in MARKET_CHANNELS), VENUE, *PRIVATE_CHANNELS, f"{ADMIN}:SYMBOL"],
        "orders": {
            "amend": ["smaller size, in its place", "another order in its slot"],
            "batch": ["all", "first", "each"],
            "selfTradePrevention": [mode.name for mode in SelfTrade],
            "cancelOnDisconnect": True,
            "protection": "protected" in schema.OrderRequest.__struct_fields__,
            "subaccounts": limits.SUBACCOUNT_MAX + 1,
        },
        "amm": {"orderFlag": "amm", "poolFeePpm": FEE_PPM, "marginPpm": limits.AMM_MARGIN_PPM},
        "errors": {code: {"status": status, "ccxt": failures.CCXT[code]} for code, status in failures.STATUS.items()},
    }


def _spot(settings: GatewaySettings) -> dict[str, Any]:
    page = {**_NO_MARGIN, "limit": limits.PAGE_LIMIT_MAX}
    days = {"daysBack": None, "untilDays": None}
    return {
        "sandbox": settings.chain_id != 999,
        "createOrder": _create_order(),
        "createOrders": {"max": limits.ORDERS_PER_REQUEST_MAX, "symbolRequired": False},
        "fetchMyTrades": {**page, **days},
        "fetchOrder": {**_NO_MARGIN, **_NO_TRIGGER},
        "fetchOpenOrders": {**page, **_NO_TRIGGER},
        "fetchOrders": None,
        "fetchClosedOrders": {**page, **_NO_TRIGGER, **days, "daysBackCanceled": None},
        "fetchOHLCV": None,
    }


def _create_order() -> dict[str, Any]:
    fields = set(schema.OrderRequest.__struct_fields__)
    has_links = {"parent", "other"} <= fields
    return {
        "marginMode": False,
        "triggerPrice": "stop_loss_price" in fields,
        "triggerPriceType": _TRIGGER_TYPES if "trigger_price_type" in fields else None,
        "triggerDirection": {"stop_loss_price", "take_profit_price"} <= fields,
        "stopLossPrice": "stop_loss_price" in fields,
        "takeProfitPrice": "take_profit_price" in fields,
        "attachedStopLossTakeProfit": {"triggerPriceType": _TRIGGER_TYPES, "price": True} if has_links else None,
        "timeInForce": {tif.name: True for tif in TimeInForce} | {"PO": "post_only" in fields},
        "hedged": False,
        "selfTradePrevention": "self_trade_prevention" in fields,
        "trailing": "trailing_amount" in fields,
        "iceberg": "visible_size" in fields,
        "leverage": False,
        "marketBuyByCost": False,
        "marketBuyRequiresPrice": True,
        "symbolRequired": True,
    }


def _limits(settings: GatewaySettings) -> dict[str, int]:
    return {
        "bodyBytes": limits.BODY_BYTES_MAX,
        "frameBytes": limits.FRAME_BYTES_MAX,
        "headBytes": bounds.HEAD_BYTES_MAX,
        "ordersPerRequest": limits.ORDERS_PER_REQUEST_MAX,
        "openOrdersPerAccount": limits.OPEN_ORDERS_PER_ACCOUNT_MAX,
        "subscriptionsPerConnection": limits.SUBSCRIPTIONS_PER_CONNECTION_MAX,
        "connectionsPerAddress": settings.connections_per_address_max,
        "httpConnectionsPerAddress": settings.http_connections_per_address_max,
        "sendQueue": settings.send_queue_max,
        "resumableCommands": settings.ring_commands,
        "stalledSeconds": bounds.STALLED_SECONDS,
        "pageLimit": limits.PAGE_LIMIT_MAX,
        "clientOrderIdBytes": limits.CLIENT_ORDER_ID_BYTES_MAX,
        "waitingOrdersPerAccount": limits.WAITING_ORDERS_PER_ACCOUNT_MAX,
        "protectionsPerAccount": limits.PROTECTIONS_PER_ACCOUNT_MAX,
        "protectionWindowMillis": limits.PROTECTION_WINDOW_MILLIS_MAX,
        "protectionFreezeMillis": limits.PROTECTION_FREEZE_MILLIS_MAX,
        "feeTiers": limits.FEE_TIERS_MAX,
        "batchItems": limits.TOGETHER_MAX,
        "cancelAllAfterMillisMin": limits.CANCEL_ALL_AFTER_MILLIS_MIN,
        "cancelAllAfterMillisMax": limits.CANCEL_ALL_AFTER_MILLIS_MAX,
        "recentOrdersPerAccount": limits.RECENT_ORDERS_PER_ACCOUNT,
        "sessionSeconds": limits.SESSION_LIFETIME_SECONDS,
        "timestampWindowMillis": bounds.WINDOW_MILLIS,
        "approvalSeconds": limits.APPROVAL_LIFETIME_SECONDS,
        "sequenceAheadMillis": limits.SEQUENCE_AHEAD_MILLIS_MAX,
    }
