"""What a transaction offers to pay: pure arithmetic on wei per gas.

Invariant: never above the cap, and every replacement offers at least an eighth more than the version before, in both
fees, so that any node's replacement rule is met. HyperEVM burns the priority fee; 0 is a good start there.
"""

from typing import NamedTuple

from offchain.chain.signing import Fees
from offchain.domain.units import ceil_div

HEADROOM = 2
"""First offer as a multiple of the base fee: it holds for six full blocks in a row. What is not needed is not paid."""
GWEI = 10**9


class FeePolicy(NamedTuple):
    """`cap` bounds `max_fee`, whatever happens; seconds until an unmined transaction is bumped or sent again."""

    cap: int = 50 * GWEI
    priority: int = 0
    bump_seconds: float = 12.0
    resend_seconds: float = 4.0


def first_fees(policy: FeePolicy, base_fee: int) -> Fees | None:
    """None while the base fee is above the cap: nothing can be mined at any price that we may offer."""
    if base_fee > policy.cap:
        return None
    priority = min(policy.priority, policy.cap)
    return Fees(min(policy.cap, base_fee * HEADROOM + priority + 1), priority)


def bumped_fees(policy: FeePolicy, base_fee: int, last: Fees) -> Fees | None:
    """The next version's fees, None if the cap leaves no room for a replacement that a node would take."""
    least = Fees(_eighth_more(last.max_fee), _eighth_more(last.priority_fee))
    if least.max_fee > policy.cap:
        return None
    wanted = max(least.max_fee, base_fee * HEADROOM + least.priority_fee)
    max_fee = min(policy.cap, wanted)
    return Fees(max_fee, min(max_fee, max(least.priority_fee, policy.priority)))


def _eighth_more(fee: int) -> int:
    """At least one wei: some nodes want both fees strictly higher."""
    return max(ceil_div(fee * 9, 8), fee + 1)
