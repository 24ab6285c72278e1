"""The operator's words on fees: rates, tiers, and who has how much CXPT.

Invariant: no maker's rebate is more than what any taker pays, whatever tiers and discounts the two have; a rebate of an
earlier schedule that is more is capped when the two meet.
"""

from offchain.domain.command import SetFees
from offchain.domain.event import FeesChanged, FeeScheduleChanged, RejectReason
from offchain.domain.limits import CXPT_OBSERVED_MAX, FEE_PPM_MAX, FEE_TIERS_MAX, NOTIONAL_ATOMS_MAX
from offchain.domain.terms import CxptDiscount, FeeTier, ObserveCxpt, SetFeeSchedule
from offchain.domain.units import PPM
from offchain.engine.schedule import Schedule, discounted
from offchain.engine.state import State
from offchain.engine.venue import is_operator

Rates = tuple[int, int]
"""Maker's and taker's."""


def set_fees(state: State, command: SetFees) -> None:
    rates, schedule = (command.maker_fee_ppm, command.taker_fee_ppm), state.schedule
    tiers, discounts = ((), ()) if schedule is None else (schedule.tiers, schedule.discounts)
    if not are_rates(*rates) or not _is_balanced(rates, tiers, discounts):
        state.reject(RejectReason.INVALID_PARAMETER)
        return
    state.set_fees(*rates)
    state.effects.append(FeesChanged(maker_fee_ppm=rates[0], taker_fee_ppm=rates[1]))


def set_fee_schedule(state: State, command: SetFeeSchedule) -> None:
    tiers, discounts = command.tiers, command.discounts
    rates = state.moment.maker_ppm, state.moment.taker_ppm
    if not is_operator(state, command.by):
        state.reject(RejectReason.NOT_AN_OPERATOR)
    elif flaw_of_schedule(tiers, discounts) or not _is_balanced(rates, tiers, discounts):
        state.reject(RejectReason.INVALID_PARAMETER)
    else:
        earlier = state.schedule or Schedule((), ())
        state.schedule = earlier.replaced(tiers, discounts) if tiers or discounts else None
        state.effects.append(FeeScheduleChanged(tiers=tiers, discounts=discounts))


def observe_cxpt(state: State, command: ObserveCxpt) -> None:
    accounts = [account for account, _ in command.atoms]
    is_sound = (
        0 < len(dict.fromkeys(accounts)) == len(accounts) <= CXPT_OBSERVED_MAX
        and all(account in state.accounts for account in accounts)
        and all(0 <= atoms <= NOTIONAL_ATOMS_MAX for _, atoms in command.atoms)
    )
    if not is_operator(state, command.by):
        state.reject(RejectReason.NOT_AN_OPERATOR)
    elif state.schedule is None:
        state.reject(RejectReason.UNSUPPORTED)
    elif not is_sound:
        state.reject(RejectReason.INVALID_PARAMETER)
    else:
        for account, atoms in command.atoms:
            state.schedule.observe(account, state.at, atoms)
            state.effects.append(state.schedule.cxpt_event(account))


def are_rates(maker_fee_ppm: int, taker_fee_ppm: int) -> bool:
    """Only makers may get a rebate, and never more than the taker pays."""
    return 0 <= taker_fee_ppm <= FEE_PPM_MAX and -taker_fee_ppm <= maker_fee_ppm <= FEE_PPM_MAX


def flaw_of_schedule(tiers: tuple[FeeTier, ...], discounts: tuple[CxptDiscount, ...]) -> str:
    """`tiers` or `discounts`, if one of them is unsound in itself."""
    rates = [are_rates(tier.maker_fee_ppm, tier.taker_fee_ppm) for tier in tiers]
    if not (_is_ladder([tier.volume_min for tier in tiers]) and all(rates)):
        return "tiers"
    is_sound = _is_ladder([one.cxpt_min for one in discounts]) and all(0 < o.discount_ppm <= PPM for o in discounts)
    return "" if is_sound else "discounts"


def _is_ladder(bounds: list[int]) -> bool:
    is_rising = bounds == sorted(dict.fromkeys(bounds))
    return is_rising and len(bounds) <= FEE_TIERS_MAX and all(0 < bound <= NOTIONAL_ATOMS_MAX for bound in bounds)


def _is_balanced(rates: Rates, tiers: tuple[FeeTier, ...], discounts: tuple[CxptDiscount, ...]) -> bool:
    """The largest rebate against the smallest fee that there can be."""
    most = max((one.discount_ppm for one in discounts), default=0)
    makers = [rates[0], *(tier.maker_fee_ppm for tier in tiers)]
    takers = [rates[1], *(tier.taker_fee_ppm for tier in tiers)]
    return min(makers) + discounted(min(takers), most) >= 0
