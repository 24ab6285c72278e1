"""What a session says of its account beside its orders: protections of quotes, money between sub-accounts.

Invariant: only the account itself is named in what is sent, so nobody changes anything of another's.
"""

from offchain.domain.command import Command
from offchain.domain.event import ProtectionSet, TransferKnown
from offchain.domain.market import format_atoms
from offchain.domain.terms import ResetProtection, SetProtection, TransferBetween
from offchain.domain.units import Address
from offchain.gateway import present
from offchain.gateway.account_schema import (
    ProtectionRequest,
    TransferRequest,
    parse_notional,
    parse_protection_number,
)
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.ingress import Ingress
from offchain.gateway.readmodel import Directory
from offchain.gateway.schema import parse_amount, parse_client_order_id
from offchain.gateway.terms import ProtectionRecord
from offchain.gateway.trading import Answer, Trading
from offchain.sequencer.protocol import Ack


class Accounts:
    """Shared by REST and WebSocket."""

    def __init__(self, model: Directory, trading: Trading, ingress: Ingress, quote_decimals: int) -> None:
        self._model = model
        self._trading = trading
        self._ingress = ingress
        self._quote_decimals = quote_decimals

    # --- protections ---

    async def set_protection(self, account: Address, number: str | int, request: ProtectionRequest) -> Answer:
        """It counts from nothing on."""
        self._trading.require_live()
        limits = {"amountMax": request.amount_max, "deltaMax": request.delta_max}
        if all(limit is None for limit in limits.values()):
            data = {"field": "amountMax", "remedy": "Give amountMax, deltaMax or both"}
            raise ApiError(Code.MISSING_FIELD, "a protection has a limit", data)
        atoms = {
            name: 0 if limit is None else parse_notional(limit, self._quote_decimals, name)
            for name, limit in limits.items()
        }
        markets = dict.fromkeys(self._trading.market(symbol).market.market for symbol in request.symbols)
        command = SetProtection(
            account=account,
            signer=account,
            protection=parse_protection_number(number),
            window_millis=request.window_millis,
            markets=tuple(markets),
            amount_max=atoms["amountMax"],
            delta_max=atoms["deltaMax"],
            freeze_millis=request.freeze_millis,
        )
        ack = await self._submit(account, command)
        (done,) = (event for event in ack.events if isinstance(event, ProtectionSet))
        quote = self._trading.quote_token
        protection = present.protection_json(ProtectionRecord(terms=done), self._model, quote, ack.at)
        return {"ok": True, "seq": ack.sequence, "protection": protection}

    async def remove_protection(self, account: Address, number: str | int) -> Answer:
        """Protected orders that stand stay; there may have been no such protection."""
        self._trading.require_live()
        wanted = parse_protection_number(number)
        ack = await self._submit(
            account, SetProtection(account=account, signer=account, protection=wanted, window_millis=0)
        )
        return {"ok": True, "seq": ack.sequence, "number": wanted}

    async def reset_protection(self, account: Address, number: str | int) -> Answer:
        self._trading.require_live()
        wanted = parse_protection_number(number)
        ack = await self._submit(account, ResetProtection(account=account, signer=account, protection=wanted))
        return {"ok": True, "seq": ack.sequence, "number": wanted}

    # --- sub-accounts ---

    async def transfer(self, account: Address, request: TransferRequest) -> Answer:
        self._trading.require_live()
        token = self._trading.token(request.token)
        atoms = parse_amount(request.amount, token.decimals)
        if request.from_subaccount == request.to_subaccount:
            data = {"field": "toSubaccount", "remedy": "Another sub-account"}
            raise ApiError(Code.INVALID_FIELD, "source and target are the same", data)
        command = TransferBetween(
            account=account,
            signer=account,
            token=token.address,
            amount=atoms,
            source=request.from_subaccount,
            target=request.to_subaccount,
            client_id=parse_client_order_id(request.client_transfer_id, "clientTransferId"),
        )
        ack = await self._submit(account, command, {"token": token.symbol, "subaccount": request.from_subaccount})
        ends = {"fromSubaccount": request.from_subaccount, "toSubaccount": request.to_subaccount}
        amount = format_atoms(atoms, token.decimals)
        known = next((event for event in ack.events if isinstance(event, TransferKnown)), None)
        return {
            "ok": True,
            "seq": ack.sequence if known is None else known.sequence,
            "clientTransferId": request.client_transfer_id,
            "token": token.symbol,
            "amount": amount,
            **ends,
            "replayed": known is not None,
        }

    async def _submit(self, account: Address, command: Command, data: Answer | None = None) -> Ack:
        self._trading.require_funded(account)
        self._ingress.take_account(account)
        (ack,) = await self._trading.submit([command])
        self._trading.require_done(ack, command, data or {})
        return ack
