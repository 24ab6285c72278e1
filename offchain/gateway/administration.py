"""What an operator asks of the venue over HTTP: new markets, the state of those that there are, fills taken back.

Invariant: the gateway says who asks, as the session proves, and converts exactly; the engine decides. An account that
is no operator writes nothing into the journal.
"""

from typing import Any, Final

from offchain.domain.command import RefuseFill, RequestMarket, SetBand, SetMarketState, SetTradeGroup, WithdrawMarket
from offchain.domain.event import FillTakenBack, MarketRequested, RejectReason
from offchain.domain.market import MarketState, parse_decimal
from offchain.domain.units import SYNTH_DECIMALS, Address
from offchain.gateway import present, schema
from offchain.gateway.account_schema import CxptRequest, FeeScheduleRequest, parse_observation, parse_schedule
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.readmodel import Directory
from offchain.gateway.refusals import WORDS
from offchain.gateway.trading import Trading

STATES: Final = {
    "resume": MarketState.ACTIVE,
    "pause": MarketState.PAUSED,
    "cancel_only": MarketState.CANCEL_ONLY,
    "post_only": MarketState.POST_ONLY,
    "delist": MarketState.DELISTED,
}


class Administration:
    """Behind POST /v1/admin/markets and fills, and the admin channels."""

    def __init__(self, model: Directory, trading: Trading, quote_decimals: int) -> None:
        self._model = model
        self._trading = trading
        self._quote_decimals = quote_decimals

    def require_operator(self, account: Address) -> None:
        if account not in self._model.operators:
            raise ApiError(RejectReason.NOT_AN_OPERATOR, WORDS[RejectReason.NOT_AN_OPERATOR], {"account": account})

    def knows(self, symbol: str) -> bool:
        """Listed or asked for."""
        model = self._model
        return symbol in model.symbols or any(row.symbol == symbol for row in model.requested.values())

    async def take_back(self, account: Address, body: bytes) -> dict[str, Any]:
        """The fills that went with it: those of a fill-or-kill order all go together."""
        self._trading.require_live()
        self.require_operator(account)
        request = schema.decode(schema.TakeBackRequest, body)
        if not request.reason.isprintable():
            _refuse("reason", "has control characters", "One line in plain words")
        command = RefuseFill(fill=schema.parse_integer(request.fill, 63, "fill"), reason=request.reason, by=account)
        ack = await self._trading.submit_one(command)
        taken = [str(event.fill) for event in ack.events if isinstance(event, FillTakenBack)]
        return {"ok": True, "seq": ack.sequence, "takenBack": taken}

    async def set_band(self, account: Address, body: bytes) -> dict[str, Any]:
        """The market with its band."""
        self._trading.require_live()
        self.require_operator(account)
        request = schema.decode(schema.BandRequest, body)
        view = self._trading.market(request.symbol)
        band = {"below_ppm": request.below_ppm, "above_ppm": request.above_ppm}
        ack = await self._trading.submit_one(SetBand(market=view.market.market, by=account, **band))
        return {"ok": True, "seq": ack.sequence, "market": present.market_json(view, self._model)}

    async def set_group(self, account: Address, body: bytes) -> dict[str, Any]:
        """Only accounts that the venue knows."""
        self._trading.require_live()
        self.require_operator(account)
        request = schema.decode(schema.GroupRequest, body)
        accounts = tuple(schema.parse_address(text, "accounts") for text in request.accounts)
        strangers = [address for address in accounts if address not in self._model.accounts]
        if strangers:
            _refuse("accounts", f"has {strangers[0]}, which has no balance here", "Accounts of this venue")
        ack = await self._trading.submit_one(SetTradeGroup(accounts=accounts, group=request.group, by=account))
        return {"ok": True, "seq": ack.sequence, "group": request.group, "accounts": list(accounts)}

    async def set_fee_schedule(self, account: Address, body: bytes) -> dict[str, Any]:
        """The tiers and discounts; null if there are none any more."""
        self._trading.require_live()
        self.require_operator(account)
        request = schema.decode(FeeScheduleRequest, body)
        ack = await self._trading.submit_one(parse_schedule(request, account, self._quote_decimals))
        schedule = present.schedule_json(self._model.fee_schedule, self._quote_decimals)
        return {"ok": True, "seq": ack.sequence, "schedule": schedule}

    async def observe_cxpt(self, account: Address, body: bytes) -> dict[str, Any]:
        """Only of accounts that the venue knows."""
        self._trading.require_live()
        self.require_operator(account)
        command = parse_observation(schema.decode(CxptRequest, body), account)
        if self._model.fee_schedule is None:
            data = {"remedy": "POST /v1/admin/fees first"}
            raise ApiError(RejectReason.UNSUPPORTED, "there is no fee schedule that CXPT could count for", data)
        strangers = [address for address, _ in command.atoms if address not in self._model.accounts]
        if strangers:
            _refuse("accounts", f"has {strangers[0]}, which has no balance here", "Accounts of this venue")
        ack = await self._trading.submit_one(command)
        return {"ok": True, "seq": ack.sequence, "accounts": [address for address, _ in command.atoms]}

    async def change(self, account: Address, body: bytes) -> dict[str, Any]:
        """The market after the change; a new one is REQUESTED until the list keeper has brought it on chain."""
        self._trading.require_live()
        self.require_operator(account)
        request = schema.decode(schema.MarketRequest, body)
        if request.action == "create":
            ack = await self._trading.submit_one(self._request(account, request))
            (requested,) = (event for event in ack.events if isinstance(event, MarketRequested))
            return {"ok": True, "seq": ack.sequence, "requested": present.requested_json(requested)}
        given = [name for name in schema.NEW_MARKET_FIELDS if getattr(request, name) is not None]
        if given:
            message = f"{request.action} takes a symbol only"
            raise ApiError(Code.INVALID_FIELD, message, {"field": schema.wire_name(given[0]), "remedy": "Leave it out"})
        if request.action == "withdraw":
            ack = await self._trading.submit_one(WithdrawMarket(market=self._wanted(request.symbol), by=account))
            return {"ok": True, "seq": ack.sequence, "withdrawn": request.symbol}
        view = self._trading.market(request.symbol)
        command = SetMarketState(market=view.market.market, state=STATES[request.action], by=account)
        ack = await self._trading.submit_one(command)
        return {"ok": True, "seq": ack.sequence, "market": present.market_json(view, self._model)}

    def _wanted(self, symbol: str) -> int:
        """The number of a market that was asked for and is not listed."""
        model = self._model
        waiting = [row for number, row in model.requested.items() if number not in model.markets]
        found = next((row.market for row in waiting if row.symbol == symbol), None)
        if found is None:
            data = {"symbols": [row.symbol for row in waiting][:20]}
            raise ApiError(RejectReason.UNKNOWN_MARKET, "no market of this symbol waits to be listed", data)
        return found

    def _request(self, account: Address, request: schema.MarketRequest) -> RequestMarket:
        missing = [name for name in schema.NEW_MARKET_FIELDS if getattr(request, name) is None]
        if missing:
            message = f"{missing[0]} is missing"
            raise ApiError(Code.MISSING_FIELD, message, {"field": schema.wire_name(missing[0])})
        assert request.initial_percent is not None and request.maintenance_percent is not None
        assert request.bonus_percent is not None
        if not request.maintenance_percent < request.initial_percent:
            _refuse("initialPercent", "is not above maintenancePercent", "For example 150 and 130")
        if not 100 + request.bonus_percent < request.maintenance_percent:
            _refuse("bonusPercent", "leaves nothing to liquidate with", "100 + bonusPercent < maintenancePercent")
        lot = _atoms(request.lot_size, SYNTH_DECIMALS, "lotSize")
        return RequestMarket(
            symbol=request.symbol,
            synth_symbol=request.synth or "",
            synth_name=request.name or "",
            base_atoms_per_lot=lot,
            quote_atoms_per_tick_lot=self._tick_lot(request.tick_size, lot),
            ceiling=_atoms(request.ceiling, SYNTH_DECIMALS, "ceiling"),
            initial_percent=request.initial_percent,
            maintenance_percent=request.maintenance_percent,
            bonus_percent=request.bonus_percent,
            quorum=request.quorum or 0,
            max_age_seconds=request.max_age_seconds or 0,
            max_move_ppm_per_minute=request.max_move_ppm_per_minute or 0,
            by=account,
        )

    def _tick_lot(self, tick: object, lot: int) -> int:
        """Quote units of one tick of one lot, which must come out whole."""
        numerator, places = schema.checked(lambda: parse_decimal(tick, "tickSize"))
        # Typed by name: 10**n is Any to a type checker, which cannot see that n >= 0.
        scale: int = 10 ** (places + SYNTH_DECIMALS)
        quote_scale: int = 10**self._quote_decimals
        units, rest = divmod(numerator * lot * quote_scale, scale)
        if rest or not units:
            words = f"times lotSize is not a whole number of 10^-{self._quote_decimals} of the settlement token"
            _refuse("tickSize", words, "Make tick or lot coarser")
        return units


def _atoms(value: object, decimals: int, field: str) -> int:
    numerator, places = schema.checked(lambda: parse_decimal(value, field))
    atoms, rest = divmod(numerator * 10**decimals, 10**places)
    if rest or not 0 < atoms < 2**128:
        _refuse(field, "is out of range", f"Above 0, with at most {decimals} decimals")
    return int(atoms)


def _refuse(field: str, words: str, remedy: str) -> None:
    raise ApiError(Code.INVALID_FIELD, f"{field} {words}", {"field": field, "remedy": remedy})
