"""The naive twin's part of what the relay is asked for: deposits by permit and agents, and how they end."""

from dataclasses import dataclass, field
from typing import Any

from offchain.domain import chainlog, relayed
from offchain.domain.eip712 import AgentTerms, agent_digest, domain_separator, permit_digest

HOUR = 3_600


@dataclass
class Asked:
    number: int
    at: int
    digest: str
    what: Any
    of_stranger: bool
    is_open: bool = True


@dataclass
class Relays:
    asked_relay: list[Asked] = field(default_factory=list)
    """All that was ever taken."""
    index: int = 10**18
    """Atoms of USDC that 10**18 units stand for."""

    def recent(self: Any) -> list[Asked]:
        """Nothing older can still be carried out."""
        return [one for one in self.asked_relay if one.at + HOUR * 1000 > self.at]

    def on_RequestDeposit(self: Any, what: relayed.RequestDeposit) -> None:
        atoms = 5 * 10**self.venue.quote_decimals <= what.amount < 2**88
        self.ask_relay(what, atoms, lambda: self.permit(what))

    def on_RequestAgent(self: Any, what: relayed.RequestAgent) -> None:
        terms = (
            int(what.agent, 16) != 0
            and what.agent != what.account
            and self.at // 1000 + 60 < what.expiry < 2**40
            and 0 <= what.notional < 2**128
            and len(what.markets) <= 64
            and all(0 <= market < 2**32 for market in what.markets)
        )
        self.ask_relay(what, terms, lambda: self.appointment(what))

    def permit(self: Any, what: relayed.RequestDeposit) -> bytes:
        domain = bytes.fromhex(what.token_domain[2:])
        return permit_digest(domain, what.account, self.venue.vault, what.amount, what.nonce, what.deadline)

    def appointment(self: Any, what: relayed.RequestAgent) -> bytes:
        separator = domain_separator(self.venue.chain_id, self.venue.settlement)
        terms = AgentTerms(what.agent, what.expiry, what.notional, what.markets)
        return agent_digest(separator, what.account, terms, what.nonce, what.deadline)

    def ask_relay(self: Any, what: Any, is_sound: bool, signed: Any) -> None:
        left, recent = what.deadline - self.at // 1000, self.recent()
        stranger = what.account not in self.accounts
        if what.signer != what.account:
            self.no("WRONG_SIGNER")
        elif not 60 <= left <= HOUR or not 0 <= what.nonce < 2**256 or not is_sound:
            self.no("INVALID_PARAMETER")
        elif self.venue_state()[0] == "HALTED":
            self.no("CANCEL_ONLY_VENUE")
        elif stranger and isinstance(what, relayed.RequestAgent):
            self.no("INSUFFICIENT_BALANCE")
        elif (digest := "0x" + signed().hex()) in [one.digest for one in recent]:
            self.no("ALREADY_REQUESTED")
        elif (
            len([one for one in recent if one.what.account == what.account]) >= 8
            or (stranger and len([one for one in recent if one.of_stranger]) >= 1_000)
            or len(recent) >= 2_000
        ):
            self.no("TOO_MANY_REQUESTS_RELAYED")
        else:
            self.asked_relay.append(Asked(self.number, self.at, digest, what, stranger))
            self.out.append(("relay", self.number, digest, what))

    def relay_arrived(self: Any, log: Any) -> None:
        """The oldest open request that the chain's word fits."""
        if isinstance(log, chainlog.LossDeclared):
            self.index = log.new_index
        fitting = [one for one in self.recent() if one.is_open and self.is_of(one.what, log)]
        for one in fitting[:1]:
            one.is_open = False
            self.out.append(("relayed", one.number, one.digest, one.what.account, log.transaction))

    def is_of(self: Any, what: Any, log: Any) -> bool:
        if isinstance(what, relayed.RequestDeposit) and isinstance(log, chainlog.Deposited):
            units = what.amount * 10**18 // self.index
            return (what.account, self.venue.quote_token, units) == (log.account, log.token, log.amount)
        if isinstance(what, relayed.RequestAgent) and isinstance(log, chainlog.AgentRegistered):
            names = ("account", "agent", "expiry", "notional", "markets")
            return all(getattr(what, name) == getattr(log, name) for name in names)
        return False

    def relay_lapses(self: Any, block_time: int) -> None:
        late = [one for one in self.recent() if one.is_open and one.what.deadline < block_time]
        for one in sorted(late, key=lambda one: (one.what.deadline, one.number)):
            one.is_open = False
            self.out.append(("relayed", one.number, one.digest, one.what.account, ""))
