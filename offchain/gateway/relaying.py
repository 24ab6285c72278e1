"""What an owner signs and the venue's relay sends: deposits by permit, agents.

Invariant: nothing is asked of the relay that its account did not sign, in the domain of the contract that will check it
again; the same message asks once, however often it comes and in whichever form its signature does.
"""

from typing import Any

from offchain.domain import eip712
from offchain.domain.event import CommandRejected
from offchain.domain.market import format_atoms
from offchain.domain.reasons import RejectReason
from offchain.domain.relayed import RelayRequest, RequestAgent, RequestDeposit
from offchain.domain.units import Digest
from offchain.gateway import schema
from offchain.gateway.failures import ApiError
from offchain.gateway.ingress import Ingress
from offchain.gateway.publications import Publications
from offchain.gateway.records import RelayRecord
from offchain.gateway.settings import GatewaySettings
from offchain.gateway.trading import Trading

Answer = dict[str, Any]


class Relaying:
    def __init__(
        self, settings: GatewaySettings, publications: Publications, trading: Trading, ingress: Ingress
    ) -> None:
        self._settings = settings
        self._publications = publications
        self._trading = trading
        self._ingress = ingress

    async def deposit(self, body: bytes) -> Answer:
        """The owner may have no account here yet: that is what a deposit is for."""
        self._trading.require_live()
        domain = self._settings.permit_separator
        if domain is None:
            message = "this venue relays no deposits: its settlement token has no permits"
            raise ApiError(RejectReason.UNSUPPORTED, message, {"remedy": "Send Vault.deposit yourself"})
        request = schema.decode(schema.DepositRequest, body)
        account = schema.parse_address(request.account, "account")
        amount = schema.parse_amount(request.amount, self._settings.quote_decimals)
        nonce = schema.parse_integer(request.nonce, 256, "nonce")
        signature = schema.parse_signature(request.signature)
        hashed = eip712.permit_digest(domain, account, self._settings.vault, amount, nonce, request.deadline)
        signer = self._trading.authenticate(account, hashed, signature)
        command = RequestDeposit(
            account=account,
            amount=amount,
            nonce=nonce,
            deadline=request.deadline,
            token_domain=Digest("0x" + domain.hex()),
            signature="0x" + signature.hex(),
            signer=signer,
        )
        return await self._ask(command, Digest("0x" + hashed.hex()), "deposit")

    async def register_agent(self, body: bytes) -> Answer:
        """Only for accounts with a balance: nobody else needs an agent."""
        self._trading.require_live()
        request = schema.decode(schema.AgentRequest, body)
        account = schema.parse_address(request.account, "account")
        agent = schema.parse_address(request.agent, "agent")
        notional = schema.parse_integer(request.notional, 128, "notional")
        terms = eip712.AgentTerms(agent, request.expiry, notional, tuple(request.markets))
        nonce = schema.parse_integer(request.nonce, 256, "nonce")
        signature = schema.parse_signature(request.signature)
        hashed = eip712.agent_digest(self._settings.settlement_separator, account, terms, nonce, request.deadline)
        signer = self._trading.authenticate(account, hashed, signature)
        self._trading.require_funded(account)
        command = RequestAgent(
            account=account,
            **terms._asdict(),
            nonce=nonce,
            deadline=request.deadline,
            signature="0x" + signature.hex(),
            signer=signer,
        )
        return await self._ask(command, Digest("0x" + hashed.hex()), "agent")

    async def _ask(self, command: RelayRequest, digest: Digest, name: str) -> Answer:
        known = await self._publications.relayed(digest)
        if known is None:
            self._ingress.take_account(command.account)
            (ack,) = await self._trading.submit([command], {"digest": digest})
            if CommandRejected(reason=RejectReason.ALREADY_REQUESTED) in ack.events:
                known = await self._publications.relayed(digest)  # the same came by another way meanwhile
            if known is None:
                self._trading.require_done(ack, command, {"digest": digest})
                record = RelayRecord(digest, ack.sequence, command)
                return {"ok": True, name: relayed_json(record, self._settings.quote_decimals), "replayed": False}
        return {"ok": True, name: relayed_json(known, self._settings.quote_decimals), "replayed": True}


def relayed_json(record: RelayRecord, quote_decimals: int) -> Answer:
    """`status` pending, or what came of it; `transaction` is null unless the chain did it."""
    request = record.request
    shared = {
        "id": record.digest,
        "account": request.account,
        "nonce": str(request.nonce),
        "deadline": request.deadline,
        "transaction": record.transaction or None,
        "seq": record.number,
    }
    if isinstance(request, RequestDeposit):
        done, amount = "credited", format_atoms(request.amount, quote_decimals)
        shared |= {"amount": amount, "amountAtoms": str(request.amount)}
    else:
        done, terms = "registered", {"agent": request.agent, "expiry": request.expiry}
        shared |= {**terms, "notional": str(request.notional), "markets": list(request.markets)}
    status = "pending" if record.transaction is None else done if record.transaction else "lapsed"
    return shared | {"status": status}
