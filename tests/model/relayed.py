"""Histories in which the relay is asked for deposits and agents, which arrive on chain, or do not, or of themselves."""

import msgspec
from chain import Reverted
from histories import TRADERS
from ruled import RuledHistory
from scene import ALICE, BOB, QUOTE, STRANGER, address

from offchain.domain.command import Command
from offchain.domain.event import RelayRequested
from offchain.domain.relayed import RequestAgent, RequestDeposit
from offchain.domain.units import Address, Digest, units_down

NEWCOMERS = tuple(address(0x700 + number) for number in range(40))
"""Accounts without a balance, until their first deposit."""
DOMAIN = Digest("0x" + "d0" * 32)


class RelayedHistory(RuledHistory):
    """An hour passes now and then, so that requests lapse and are forgotten."""

    def __init__(self, seed: int, leap: float = 0.004) -> None:
        super().__init__(seed, leap)
        self.asked: list[RequestDeposit | RequestAgent] = []

    def _draw(self) -> Command:
        pick = self.random
        if pick.random() < 0.02 and not self.engine.batches.unsettled:
            self.at += pick.choice((61_000, 600_000, 1_800_000, 3_600_000))
        if pick.random() < 0.003:
            self.chain.declare_loss(1)
        if pick.random() > 0.25:
            return super()._draw()
        if self.asked and pick.random() < 0.3:
            return self._carry()
        if self.asked and pick.random() < 0.1:
            return pick.choice(self.asked[-10:])
        ask = self._ask_deposit if pick.random() < 0.7 else self._ask_agent
        self.asked.append(ask(pick.choice((*TRADERS[2:], *NEWCOMERS) if pick.random() < 0.7 else (ALICE, BOB))))
        return self.asked[-1]

    def _deadline(self) -> int:
        """Most of them will do."""
        left = (60, 61, 300, 600, 1_800, 3_600) if self.random.random() < 0.95 else (59, 3_601)
        return self.at // 1000 + self.random.choice(left)

    def _ask_deposit(self, account: Address) -> RequestDeposit:
        """Of few amounts, so that several requests wait for the same one."""
        pick = self.random
        return RequestDeposit(
            account=account,
            amount=pick.choice((5_000_000, 7_000_000, 7_000_000, 9_999_999)) if pick.random() < 0.95 else 4_999_999,
            nonce=pick.randrange(6) if pick.random() < 0.98 else 2**256,
            deadline=self._deadline(),
            token_domain=DOMAIN,
            signature="0x01",
            signer=account if pick.random() < 0.97 else STRANGER,
        )

    def _ask_agent(self, account: Address) -> RequestAgent:
        pick = self.random
        agents = (address(0xE4), address(0xE5), address(0xE6))
        return RequestAgent(
            account=account,
            agent=pick.choice(agents) if pick.random() < 0.95 else pick.choice((account, address(0))),
            expiry=self.at // 1000 + (pick.randrange(100, 9_000) if pick.random() < 0.95 else 60),
            notional=pick.choice((0, 10**12, 2**128 - 1)) if pick.random() < 0.97 else 2**128,
            markets=pick.choice(((), (1,), (2, 1))) if pick.random() < 0.97 else (1,) * 65,
            nonce=pick.randrange(2),
            deadline=self._deadline(),
            signature="0x01",
            signer=account if pick.random() < 0.97 else STRANGER,
        )

    def _carry(self) -> Command:
        """Somebody sends what was asked for, the relay or its owner: as it was, or nearly so."""
        pick, open_ones = self.random, list[RequestDeposit | RequestAgent]()
        for event in self.engine._state.relayed.describe(self.at):
            if isinstance(event, RelayRequested):
                open_ones.append(event.request)
            else:
                open_ones.pop()
        request = pick.choice(open_ones or self.asked)
        self.chain.time = max(self.chain.time, self.at // 1000)
        if isinstance(request, RequestDeposit):
            amount = units_down(request.amount, self.chain.index) + (pick.random() < 0.1)
            self.chain.deposit(request.account, QUOTE, amount)
        else:
            notional = request.notional - (pick.random() < 0.1 and request.notional > 0)
            terms = request.expiry - self.chain.time, notional, request.markets
            try:
                self.chain.register_agent(request.account, request.agent, *terms)
            except Reverted:
                return self._ask_deposit(request.account)
        return self._next_log()


def crowd(count: int, deadline: int) -> list[Command]:
    """So many strangers ask at once."""
    one = RequestDeposit(
        account=STRANGER,
        amount=5_000_000,
        nonce=0,
        deadline=deadline,
        token_domain=DOMAIN,
        signature="0x01",
        signer=STRANGER,
    )
    accounts = [address(0x9000 + number) for number in range(count)]
    return [msgspec.structs.replace(one, account=account, signer=account) for account in accounts]
