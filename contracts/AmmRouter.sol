// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IAmmFactory} from "./interfaces/IAmmFactory.sol";
import {IAmmPair} from "./interfaces/IAmmPair.sol";
import {IAmmRouter} from "./interfaces/IAmmRouter.sol";

/// @title Trades with the pools from a wallet; see IAmmRouter
/// @dev It takes only from its caller, and sends to pools of its factory only. It has no state, so that nothing is to
/// be guarded; all prices come from the pools, which check them again.
contract AmmRouter is IAmmRouter {
    using SafeERC20 for IERC20;

    /// @dev A trade and its amounts. `sells` is zero if what goes in is the settlement token, `buys` if what comes out
    /// is; `middle` is the amount of the settlement token between them.
    struct Route {
        IAmmPair sells;
        IAmmPair buys;
        uint256 amountIn;
        uint256 middle;
        uint256 amountOut;
    }

    /// @inheritdoc IAmmRouter
    address public immutable override FACTORY;
    address private immutable _QUOTE_TOKEN;

    modifier before(uint256 deadline) {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline);
        _;
    }

    /// @dev What the router got would be nobody's.
    modifier onlyTo(address to) {
        if (to == address(this)) revert InvalidReceiver();
        _;
    }

    constructor(address factory) {
        FACTORY = factory;
        _QUOTE_TOKEN = IAmmFactory(factory).QUOTE_TOKEN();
    }

    /* SWAPS */

    /// @inheritdoc IAmmRouter
    function swapExactIn(
        address tokenIn,
        address tokenOut,
        uint256 amountIn,
        uint256 minimumOut,
        address to,
        uint256 deadline,
        Permit calldata permit
    ) external before(deadline) onlyTo(to) returns (uint256 amountOut) {
        Route memory route = _routeExactIn(tokenIn, tokenOut, amountIn);
        if (route.amountOut < minimumOut) revert TooLittleOut(route.amountOut, minimumOut);

        _usePermit(tokenIn, permit);
        _trade(route, tokenIn, to);
        return route.amountOut;
    }

    /// @inheritdoc IAmmRouter
    function swapExactOut(
        address tokenIn,
        address tokenOut,
        uint256 amountOut,
        uint256 maximumIn,
        address to,
        uint256 deadline,
        Permit calldata permit
    ) external before(deadline) onlyTo(to) returns (uint256 amountIn) {
        Route memory route = _routeExactOut(tokenIn, tokenOut, amountOut);
        if (route.amountIn > maximumIn) revert TooMuchIn(route.amountIn, maximumIn);

        _usePermit(tokenIn, permit);
        _trade(route, tokenIn, to);
        return route.amountIn;
    }

    function _trade(Route memory route, address tokenIn, address to) private {
        bool isSale = address(route.sells) != address(0);
        bool isPurchase = address(route.buys) != address(0);
        _take(tokenIn, address(isSale ? route.sells : route.buys), route.amountIn);
        if (isSale) route.sells.swap(0, route.middle, isPurchase ? address(route.buys) : to);
        if (isPurchase) route.buys.swap(route.amountOut, 0, to);
    }

    /* LIQUIDITY */

    /// @inheritdoc IAmmRouter
    function addLiquidity(
        address base,
        uint256 baseDesired,
        uint256 quoteDesired,
        uint256 baseMinimum,
        uint256 quoteMinimum,
        address to,
        uint256 deadline
    ) external before(deadline) onlyTo(to) returns (uint256 baseAmount, uint256 quoteAmount, uint256 shares) {
        IAmmPair pair = _poolOf(base);
        (baseAmount, quoteAmount) = _atPoolPrice(pair, baseDesired, quoteDesired);
        if (baseAmount < baseMinimum) revert TooLittleIn(baseAmount, baseMinimum);
        if (quoteAmount < quoteMinimum) revert TooLittleIn(quoteAmount, quoteMinimum);

        _take(base, address(pair), baseAmount);
        _take(_QUOTE_TOKEN, address(pair), quoteAmount);
        shares = pair.mint(to);
    }

    /// @inheritdoc IAmmRouter
    function removeLiquidity(
        address base,
        uint256 shares,
        uint256 baseMinimum,
        uint256 quoteMinimum,
        address to,
        uint256 deadline,
        Permit calldata permit
    ) external before(deadline) onlyTo(to) returns (uint256 baseAmount, uint256 quoteAmount) {
        IAmmPair pair = _poolOf(base);
        _usePermit(address(pair), permit);
        _take(address(pair), address(pair), shares);
        (baseAmount, quoteAmount) = pair.burn(to);

        // What the pool pays is known only now: a refusal takes it all back.
        if (baseAmount < baseMinimum) revert TooLittleOut(baseAmount, baseMinimum);
        if (quoteAmount < quoteMinimum) revert TooLittleOut(quoteAmount, quoteMinimum);
    }

    /// @dev The most of both that keeps the price, each rounded down.
    function _atPoolPrice(IAmmPair pair, uint256 baseDesired, uint256 quoteDesired)
        private
        view
        returns (uint256 baseAmount, uint256 quoteAmount)
    {
        // Not the reserves: whoever sent something there and called `sync` before the first mint has set no price.
        if (IERC20(address(pair)).totalSupply() == 0) return (baseDesired, quoteDesired);

        (uint256 baseReserve, uint256 quoteReserve,) = pair.reserves();
        uint256 quoteFit = Math.mulDiv(baseDesired, quoteReserve, baseReserve);
        if (quoteFit <= quoteDesired) return (baseDesired, quoteFit);

        return (Math.mulDiv(quoteDesired, baseReserve, quoteReserve), quoteDesired);
    }

    /* VIEWS */

    /// @inheritdoc IAmmRouter
    function quoteExactIn(address tokenIn, address tokenOut, uint256 amountIn)
        external
        view
        returns (uint256 amountOut)
    {
        return _routeExactIn(tokenIn, tokenOut, amountIn).amountOut;
    }

    /// @inheritdoc IAmmRouter
    function quoteExactOut(address tokenIn, address tokenOut, uint256 amountOut)
        external
        view
        returns (uint256 amountIn)
    {
        return _routeExactOut(tokenIn, tokenOut, amountOut).amountIn;
    }

    /* ROUTES */

    function _routeExactIn(address tokenIn, address tokenOut, uint256 amountIn)
        private
        view
        returns (Route memory route)
    {
        route = _route(tokenIn, tokenOut);
        route.amountIn = amountIn;
        route.middle = address(route.sells) == address(0) ? amountIn : route.sells.getAmountOut(amountIn, true);
        route.amountOut =
            address(route.buys) == address(0) ? route.middle : route.buys.getAmountOut(route.middle, false);
    }

    function _routeExactOut(address tokenIn, address tokenOut, uint256 amountOut)
        private
        view
        returns (Route memory route)
    {
        route = _route(tokenIn, tokenOut);
        route.amountOut = amountOut;
        route.middle = address(route.buys) == address(0) ? amountOut : route.buys.getAmountIn(amountOut, true);
        route.amountIn =
            address(route.sells) == address(0) ? route.middle : route.sells.getAmountIn(route.middle, false);
    }

    /// @dev Without amounts.
    function _route(address tokenIn, address tokenOut) private view returns (Route memory route) {
        if (tokenIn == tokenOut) revert UnknownPool(tokenOut);
        if (tokenIn != _QUOTE_TOKEN) route.sells = _poolOf(tokenIn);
        if (tokenOut != _QUOTE_TOKEN) route.buys = _poolOf(tokenOut);
    }

    function _poolOf(address base) private view returns (IAmmPair pair) {
        pair = IAmmPair(IAmmFactory(FACTORY).pairOf(base));
        if (address(pair) == address(0)) revert UnknownPool(base);
    }

    /* TOKENS */

    /// @dev Whoever uses up the caller's permit first leaves the allowance there: what counts is the transfer.
    function _usePermit(address token, Permit calldata permit) private {
        if (permit.deadline == 0) return;
        try IERC20Permit(token)
            .permit(msg.sender, address(this), permit.value, permit.deadline, permit.v, permit.r, permit.s) {}
            catch {} // solhint-disable-line no-empty-blocks
    }

    function _take(address token, address pool, uint256 amount) private {
        IERC20(token).safeTransferFrom(msg.sender, pool, amount);
    }
}
