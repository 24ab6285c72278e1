"""ccxt's names for orders with conditions: each is `create_order` with its parameter filled in.

Invariant: nothing is decided here; a condition that the venue does not know is refused before anything is signed.
"""

from typing import Any

from offchain.client.unified import errors

Json = dict[str, Any]

TRIGGERS = ("triggerPrice", "stopPrice", "stopLossPrice", "takeProfitPrice")
DIRECTIONS = {"up": True, "ascending": True, "above": True, "down": False, "descending": False, "below": False}


def condition_of(side: str, params: Json) -> Json:
    """The venue's fields for ccxt's triggers, which are taken out of `params`.

    `triggerPrice` (or its older name) is a stop, unless `triggerDirection` says that the price comes from the other
    side.
    """
    given = {name: params.pop(name) for name in TRIGGERS if params.get(name) is not None}
    direction = params.pop("triggerDirection", None)
    if len(given) > 1:
        raise errors.InvalidOrder(f"an order has one trigger: {', '.join(given)}")
    if not given:
        if direction is not None:
            raise errors.InvalidOrder("triggerDirection is of an order with a triggerPrice")
        return {}
    ((name, price),) = given.items()
    if direction is not None and direction not in DIRECTIONS:
        raise errors.InvalidOrder(f"triggerDirection is up or down, not {direction!r}")
    is_stop = name != "takeProfitPrice"
    if direction is not None:
        if name in ("stopLossPrice", "takeProfitPrice"):
            raise errors.InvalidOrder(f"{name} says the direction already")
        is_stop = DIRECTIONS[direction] is (side == "buy")
    return {"stop_loss_price" if is_stop else "take_profit_price": price}


class Conditional:
    """The half of `Hooats` that only names things."""

    async def create_order(
        self, symbol: str, type: str, side: str, amount: Any, price: Any = None, params: Json | None = None
    ) -> Json:
        raise NotImplementedError  # `Hooats` has it; here it is named for the type checker

    async def create_trigger_order(
        self,
        symbol: str,
        type: str,
        side: str,
        amount: Any,
        price: Any = None,
        triggerPrice: Any = None,
        params: Json | None = None,
    ) -> Json:
        return await self._with(symbol, type, side, amount, price, params, triggerPrice=triggerPrice)

    async def create_stop_loss_order(
        self,
        symbol: str,
        type: str,
        side: str,
        amount: Any,
        price: Any = None,
        stopLossPrice: Any = None,
        params: Json | None = None,
    ) -> Json:
        return await self._with(symbol, type, side, amount, price, params, stopLossPrice=stopLossPrice)

    async def create_take_profit_order(
        self,
        symbol: str,
        type: str,
        side: str,
        amount: Any,
        price: Any = None,
        takeProfitPrice: Any = None,
        params: Json | None = None,
    ) -> Json:
        return await self._with(symbol, type, side, amount, price, params, takeProfitPrice=takeProfitPrice)

    async def create_trailing_amount_order(
        self,
        symbol: str,
        type: str,
        side: str,
        amount: Any,
        price: Any = None,
        trailingAmount: Any = None,
        trailingTriggerPrice: Any = None,
        params: Json | None = None,
    ) -> Json:
        """`trailingTriggerPrice` is where the stop begins: it is signed."""
        wanted = {"trailingAmount": trailingAmount, "stopLossPrice": trailingTriggerPrice}
        return await self._with(symbol, type, side, amount, price, params, **wanted)

    async def create_post_only_order(
        self, symbol: str, type: str, side: str, amount: Any, price: Any = None, params: Json | None = None
    ) -> Json:
        return await self._with(symbol, type, side, amount, price, params, postOnly=True)

    async def create_reduce_only_order(
        self, symbol: str, type: str, side: str, amount: Any, price: Any = None, params: Json | None = None
    ) -> Json:
        return await self._with(symbol, type, side, amount, price, params, reduceOnly=True)

    async def create_order_with_take_profit_and_stop_loss(
        self,
        symbol: str,
        type: str,
        side: str,
        amount: Any,
        price: Any = None,
        takeProfit: Any = None,
        stopLoss: Any = None,
        params: Json | None = None,
    ) -> Json:
        """Trigger prices, of which one cancels the other once the order is filled. `params`: stopLossLimitPrice, the
        worst price of the stop, which is signed; takeProfitLimitPrice, the trigger if it is not given."""
        params = dict(params or {})
        wanted = {
            name: {"triggerPrice": trigger, "price": params.pop(f"{name}LimitPrice", None)}
            for name, trigger in (("takeProfit", takeProfit), ("stopLoss", stopLoss))
        }
        return await self._with(symbol, type, side, amount, price, params, **wanted)

    async def _with(
        self, symbol: str, type: str, side: str, amount: Any, price: Any, params: Json | None, **wanted: Any
    ) -> Json:
        missing = [name for name, value in wanted.items() if value is None]
        if missing:
            raise errors.ArgumentsRequired(f"this order needs {', '.join(missing)}")
        return await self.create_order(symbol, type, side, amount, price, (params or {}) | wanted)
