"""The half of `HooatsClient` that is about accounts: balances, sub-accounts, protections, fees, and what operators say
of them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from offchain.client.answers import Agent, Balance, Fees, Protection, SubaccountBalance, Transfer, convert
from offchain.client.failures import Refused
from offchain.client.wire import Json, Wire

RATES_SECONDS = 60
"""How long the account's rates are believed: tiers change once a day, and FEE_CAP_TOO_LOW tells of a rise."""


class AccountCalls(Wire):
    async def agents(self) -> list[Agent]:
        """Keys that may sign orders of the account, or might."""
        return convert((await self._get("/v1/agents", session=True))["agents"], list[Agent])

    async def balances(self, subaccount: int | None = None) -> dict[str, Balance]:
        """Of the account as a whole, or of one of its sub-accounts. By token symbol; a later token of the same symbol
        by its address."""
        query = "" if subaccount is None else f"?subaccount={subaccount}"
        found: dict[str, Balance] = {}
        for row in convert((await self._get(f"/v1/balances{query}", session=True))["balances"], list[Balance]):
            found[row.address if row.token in found else row.token] = row
        return found

    async def subaccounts(self) -> list[SubaccountBalance]:
        """What each sub-account has of the balances that are divided."""
        answer = await self._get("/v1/balances", session=True)
        return convert(answer["subaccounts"], list[SubaccountBalance])

    async def transfer(
        self, token: str, amount: str, source: int, target: int, *, client_transfer_id: str = ""
    ) -> Transfer:
        """Between sub-accounts, what is settled and free. Retried, since the same id moves it once; where the outcome
        stays unknown (ExchangeUnreachable), ask again with the id that you gave."""
        body = {"token": token, "amount": amount, "fromSubaccount": source, "toSubaccount": target}
        body["clientTransferId"] = client_transfer_id or str(uuid4())
        return convert(await self._send("POST", "/v1/transfers", body, session=True), Transfer)

    # --- protections ---

    async def protections(self) -> list[Protection]:
        """By number."""
        return convert((await self._get("/v1/protections", session=True))["protections"], list[Protection])

    async def set_protection(
        self,
        number: int,
        window_millis: int,
        *,
        amount_max: str | None = None,
        delta_max: str | None = None,
        symbols: Sequence[str] = (),
        freeze_millis: int = 0,
    ) -> Protection:
        """Of orders with `protected`, in these markets or in all; it counts from nothing on. `freeze_millis` 0: until
        it is reset."""
        body: dict[str, Any] = {"windowMillis": window_millis, "symbols": list(symbols), "freezeMillis": freeze_millis}
        limits = {"amountMax": amount_max, "deltaMax": delta_max}
        body |= {name: limit for name, limit in limits.items() if limit is not None}
        answer = await self._send("PUT", f"/v1/protections/{number}", body, session=True)
        return convert(answer["protection"], Protection)

    async def remove_protection(self, number: int) -> None:
        await self._send("DELETE", f"/v1/protections/{number}", session=True)

    async def reset_protection(self, number: int) -> None:
        """Protected orders are taken again; it counts from nothing on."""
        await self._send("POST", f"/v1/protections/{number}/reset", session=True)

    # --- fees ---

    _fee_cap: tuple[int, float] | None = None
    """And when it was asked for."""

    async def fee_cap(self) -> int:
        """What an order is signed for that names no cap: the higher of the account's own rates, and no more. Only a
        venue with a fee schedule needs a session for that."""
        now = time.monotonic()
        if self._fee_cap is None or now - self._fee_cap[1] > RATES_SECONDS:
            venue = await self._get("/v1/venue")
            rates = [venue["makerFeePpm"], venue["takerFeePpm"]]
            if venue["feeSchedule"] is not None:
                own = await self.fees()
                rates = [own.maker_fee_ppm, own.taker_fee_ppm]
            self._fee_cap = max(*rates, 0), now
        return self._fee_cap[0]

    def note(self, refused: Refused) -> None:
        """After a rise the next order asks for the rates again; the refused one is not signed for more unasked."""
        if refused.code == "FEE_CAP_TOO_LOW":
            self._fee_cap = None

    async def fees(self) -> Fees:
        """What the account pays for what it places now, and why."""
        return convert(await self._get("/v1/fees", session=True), Fees)

    # --- operators ---

    async def set_group(self, accounts: Sequence[str], group: int) -> None:
        """Of an operator: these accounts are one owner's; 0: of none."""
        await self._send("POST", "/v1/admin/groups", {"accounts": list(accounts), "group": group}, session=True)

    async def set_fee_schedule(self, tiers: Sequence[Json], discounts: Sequence[Json] = ()) -> Json | None:
        """Of an operator: items as in POST /v1/admin/fees, both empty: no schedule any more. The schedule then."""
        body = {"tiers": list(tiers), "discounts": list(discounts)}
        schedule: Json | None = (await self._send("POST", "/v1/admin/fees", body, session=True))["schedule"]
        return schedule

    async def observe_cxpt(self, amounts: Mapping[str, str]) -> None:
        """Of an operator: how much CXPT accounts have; it counts from the next day on."""
        body = {"accounts": [{"account": account, "amount": amount} for account, amount in amounts.items()]}
        await self._send("POST", "/v1/admin/cxpt", body, session=True)
