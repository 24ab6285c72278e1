"""Countersignatures as they are answered, and those given a short while ago.

The engine holds an amount for every approval, so a retried withdrawal must not ask for a second one: the same
withdrawal, however it was signed, gets the first answer while that approval is outstanding. The countersignature
itself is only in the ack of its command; after a restart of the gateway a retry learns of the approval without it (the
relay keeper has it anyway).
"""

from collections import OrderedDict
from typing import Any

from offchain.domain.eip712 import Withdrawal, withdrawal_of
from offchain.domain.event import ApprovalGranted
from offchain.domain.market import format_atoms
from offchain.gateway.present import Token
from offchain.gateway.publications import Publications
from offchain.sequencer.protocol import Ack

REMEMBERED_MAX = 10_000


class Approvals:
    """Outstanding ones are the read model's; their countersignatures are kept here."""

    def __init__(self, publications: Publications) -> None:
        self._publications = publications
        self._signatures: OrderedDict[int, str] = OrderedDict()

    def keep(self, ack: Ack) -> ApprovalGranted:
        """The approval of a command that was not refused."""
        granted = next(event for event in ack.events if isinstance(event, ApprovalGranted))
        self._signatures[granted.nonce] = ack.approval
        if len(self._signatures) > REMEMBERED_MAX:
            self._signatures.popitem(last=False)
        return granted

    async def find(self, wanted: Withdrawal) -> ApprovalGranted | None:
        """The outstanding approval of a withdrawal that was asked for before."""
        for granted in await self._publications.approvals(wanted.account):
            if granted.owner_signature and wanted == withdrawal_of(granted):
                return granted
        return None

    def answer(self, granted: ApprovalGranted, token: Token, *, replayed: bool) -> dict[str, Any]:
        """Everything that the Vault's function needs; deadlines in unix seconds. Of locking and burning the owner has
        no nonce and no deadline: they are 0."""
        return {
            "ok": True,
            "approval": {
                "purpose": granted.purpose,
                "account": granted.account,
                "token": token.address,
                "amount": format_atoms(granted.amount, token.decimals),
                "amountAtoms": str(granted.amount),
                "destination": granted.destination,
                "asCxpt": granted.as_cxpt,
                "nonce": str(granted.nonce),
                "deadline": granted.deadline,
                "ownerNonce": str(granted.owner_nonce),
                "ownerDeadline": granted.owner_deadline,
                "signature": self._signatures.get(granted.nonce) or None,
            },
            "seq": granted.nonce,
            "replayed": replayed,
        }
