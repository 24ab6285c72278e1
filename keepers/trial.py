"""Trying a transaction out before it is sent: what it would cost, or why it would revert."""

from typing import Any, NamedTuple

from offchain.chain import rpc as questions
from offchain.chain.contracts import ERRORS
from offchain.chain.rpc import Rpc, RpcRefused
from offchain.domain.units import Address


class Trial(NamedTuple):
    """`gas` used, or `reason` of the revert in words and `error`, its name ("" if it is not one of the contracts'),
    with its `arguments`."""

    gas: int = 0
    reason: str = ""
    error: str = ""
    arguments: tuple[Any, ...] = ()

    @property
    def succeeds(self) -> bool:
        return not self.reason


async def try_out(rpc: Rpc, to: Address, calldata: bytes, sender: Address) -> Trial:
    """On the latest state. A node that cannot say why is asked a second time, by eth_call."""
    try:
        return Trial(gas=await rpc.read(questions.estimate_gas(to, calldata, sender)))
    except RpcRefused as refused:
        if not refused.payload:
            return await try_call(rpc, to, calldata, sender, refused)
        return explained(refused)


async def try_call(rpc: Rpc, to: Address, calldata: bytes, sender: Address, first: RpcRefused | None = None) -> Trial:
    """Like `try_out`, without the cost; `first` is what stands if the call itself succeeds."""
    try:
        await rpc.read(questions.call(to, calldata, sender))
    except RpcRefused as refused:
        return explained(refused)
    return Trial() if first is None else explained(first)


def explained(refused: RpcRefused) -> Trial:
    name, arguments = ERRORS.find(refused.payload)
    reason = ERRORS.explain(refused.payload) if refused.payload else refused.reason or "refused"
    return Trial(reason=reason, error=name, arguments=arguments)
