// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title Trades with the pools from a wallet: never worse than asked, never later than asked
///
/// It holds nothing between two calls, takes from its caller only, and pays to a pool of its factory first. What a
/// caller approved is safe from everybody else: another's permit, used up before, leaves the allowance that it was for.
///
/// Paths lead from a token to another over the settlement token: one hop between it and a synth, two between two
/// synths.
///
/// WHO MAY CALL: anyone. There is no owner, no setting and no state.
///
/// WARNINGS
/// - `minimumOut` and `maximumIn` are what keeps a sandwich off: a view of this contract is not a promise.
/// - The first liquidity of a pool is taken at whatever ratio it comes in.
interface IAmmRouter {
    /// @notice An ERC-2612 permit of the caller for the router; `deadline` 0 for none. One that was used already does
    /// not matter as long as the allowance is there.
    struct Permit {
        uint256 value;
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice Thrown when a call is mined after its deadline.
    error DeadlinePassed(uint256 deadline);
    /// @notice Thrown when less would come out than the caller accepts.
    error TooLittleOut(uint256 amount, uint256 minimum);
    /// @notice Thrown when more would go in than the caller accepts.
    error TooMuchIn(uint256 amount, uint256 maximum);
    /// @notice Thrown when the pool's price lets less of a token in than the caller accepts.
    error TooLittleIn(uint256 amount, uint256 minimum);
    /// @notice Thrown when the receiver is the router.
    error InvalidReceiver();
    /// @notice Thrown when a token has no pool, or a path leads nowhere.
    error UnknownPool(address token);

    /// @notice Takes `amountIn` from the caller and pays what it buys to `to`.
    function swapExactIn(
        address tokenIn,
        address tokenOut,
        uint256 amountIn,
        uint256 minimumOut,
        address to,
        uint256 deadline,
        Permit calldata permit
    ) external returns (uint256 amountOut);

    /// @notice Pays `amountOut` to `to` and takes what it costs from the caller.
    function swapExactOut(
        address tokenIn,
        address tokenOut,
        uint256 amountOut,
        uint256 maximumIn,
        address to,
        uint256 deadline,
        Permit calldata permit
    ) external returns (uint256 amountIn);

    /// @notice Adds at the pool's price (at the given ratio if nobody has shares), at most the desired amounts. The
    /// shares are the pool's own token.
    function addLiquidity(
        address base,
        uint256 baseDesired,
        uint256 quoteDesired,
        uint256 baseMinimum,
        uint256 quoteMinimum,
        address to,
        uint256 deadline
    ) external returns (uint256 baseAmount, uint256 quoteAmount, uint256 shares);

    /// @notice Burns the caller's shares; the permit is one of the pool's token.
    function removeLiquidity(
        address base,
        uint256 shares,
        uint256 baseMinimum,
        uint256 quoteMinimum,
        address to,
        uint256 deadline,
        Permit calldata permit
    ) external returns (uint256 baseAmount, uint256 quoteAmount);

    /// @return amountOut What `swapExactIn` would pay now.
    function quoteExactIn(address tokenIn, address tokenOut, uint256 amountIn) external view returns (uint256 amountOut);
    /// @return amountIn What `swapExactOut` would take now.
    function quoteExactOut(address tokenIn, address tokenOut, uint256 amountOut)
        external
        view
        returns (uint256 amountIn);
    /// @notice Whose pools it trades with, set once.
    function FACTORY() external view returns (address);
}
