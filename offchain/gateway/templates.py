"""GET /v1/eip712: what a wallet needs to sign."""

from typing import Any

from offchain.domain import eip712, limits
from offchain.gateway.settings import GatewaySettings

_ACCOUNT = "the Vault account, and the signer"
_FIELDS: dict[str, dict[str, str]] = {
    "Order": {
        "account": _ACCOUNT,
        "subaccount": "0 to 255: which part of the account's balance it is for",
        "market": "number of the market, from /v1/markets",
        "side": "0 buy, 1 sell",
        "kind": "0 limit, 1 market (an immediate order whose price is the worst that is acceptable)",
        "timeInForce": "0 GTC, 1 IOC, 2 FOK, 3 GTD",
        "flags": "1 post-only; 2 reduce-only; 4 trades with the market's AMM pair only, whole or not at all (IOC, FOK "
        "and market); with a trigger: 8 on the last price and not the mark, 16 takes profit, 32 immediate once it came"
        "; 64 counts for the account's protection, and goes when that trips",
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
    "Mark": {
        "market": "number of the market, from /v1/markets",
        "priceTicks": "price / tickSize",
        "time": "unix seconds at which the poster's source said so",
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
    "Permit": {
        "owner": _ACCOUNT,
        "spender": "address of the Vault",
        "value": "atoms of the settlement token",
        "nonce": "the token's nonces(owner)",
        "deadline": "unix seconds, the last moment it may be used",
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
    "Mark": (eip712.MARK_TYPE, "settlement"),
    "Withdraw": (eip712.WITHDRAW_TYPE, "vault"),
    "Approval": (eip712.APPROVAL_TYPE, "vault"),
    "Receipt": (eip712.RECEIPT_TYPE, "commitment"),
}


def eip712_json(settings: GatewaySettings) -> dict[str, Any]:
    """name -> `types`, `primaryType`, `domain` of eth_signTypedData_v4, and a word on every field."""
    templates: dict[str, Any] = {}
    if settings.permit_name:
        template = eip712.typed_data_template(eip712.PERMIT_TYPE, settings.chain_id, settings.quote_token)
        template["domain"] |= {"name": settings.permit_name, "version": settings.permit_version}
        templates["Permit"] = template | {"typeString": eip712.PERMIT_TYPE, "fields": _FIELDS["Permit"]}
    for name, (type_string, contract) in _TYPES.items():
        verifying_contract = getattr(settings, contract)
        template = eip712.typed_data_template(type_string, settings.chain_id, verifying_contract)
        templates[name] = template | {"typeString": type_string, "fields": _FIELDS[name]}
    return templates
