"""Where to trade: how much of a size goes to the order book and how much to the market's AMM pair.

Invariant: pure and in integers; a plan depends on nothing but its arguments. It signs and sends nothing: the trader
signs the orders of a plan himself.
"""

from offchain.router.plan import Plan, Question, Reserves, plan_for_amount, plan_for_size

__all__ = ["Plan", "Question", "Reserves", "plan_for_amount", "plan_for_size"]
