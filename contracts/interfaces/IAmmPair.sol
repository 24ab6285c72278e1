// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title A constant-product pool of a synth (base) and the settlement token (quote); its shares are an ERC-20
///
/// ASSUMPTIONS
/// - Neither token takes a fee on transfer, rebases, or calls back.
/// - Reserves, not balances, make the price: what is sent without a call is whoever's calls next. So a wallet sends and
///   calls in one transaction: see IAmmRouter.
/// - The settlement token may still refuse: if it bars the pool (a blacklist), what is in it stays there until it no
///   longer does. Nothing in the Vault depends on a pool.
/// - Every input pays FEE_PPM (0.3 %), which stays in the pool. No protocol fee.
/// - The spot price is never an oracle: use the cumulative prices over time.
///
/// PROMISES
/// - sqrt(base * quote) per share never falls: not by a swap, a mint, a burn, a gift, nor by tokens that take a fee or
///   return nothing. A share is worth its part of the reserves at least, at any time, without anybody's leave.
/// - No call enters a pool again while another one is at work.
///
/// WHO MAY CALL: anyone, everything. There is no owner.
///
/// WARNINGS
/// - A gift (tokens sent without a call) is the next caller's, by `skim`, `mint` or `swap`, or by `sync` the
///   shareholders'. A gift of more than 112 bits hold bars the pool until somebody skims it; anyone may.
/// - The first one to bring liquidity sets the price and loses MINIMUM_LIQUIDITY (1,000) shares for ever; whoever makes
///   a share dear by gifts loses more than the next one does.
/// - Times have 32 bits and wrap in 2106; a pool that nobody touches for 136 years has a wrong average over them.
interface IAmmPair {
    /// @notice `shares` were made for `to`. Amounts are atoms of base and quote that came in.
    event Mint(address indexed sender, uint256 baseAmount, uint256 quoteAmount, uint256 shares, address indexed to);
    /// @notice `shares` are gone; `to` got these atoms of base and quote.
    event Burn(address indexed sender, uint256 baseAmount, uint256 quoteAmount, uint256 shares, address indexed to);
    /// @notice A trade, in atoms; what came in includes the fee and any gift before it.
    event Swap(
        address indexed sender, uint256 baseIn, uint256 quoteIn, uint256 baseOut, uint256 quoteOut, address indexed to
    );
    /// @notice The reserves after every change, in atoms.
    event Sync(uint112 baseReserve, uint112 quoteReserve);

    /// @notice Thrown when a pool would hold less than MINIMUM_LIQUIDITY shares, or shares or amounts would be zero.
    error InsufficientLiquidity();
    /// @notice Thrown when less came in than the constant product asks for.
    error InsufficientInput();
    /// @notice Thrown when there is no output, or it is not below the reserve.
    error InsufficientOutput();
    /// @notice Thrown when a receiver is one of the two tokens, or the pool.
    error InvalidReceiver();
    /// @notice Thrown when a reserve would exceed 112 bits.
    error ReserveOverflow();

    /// @notice Once, by the factory, in the creating transaction.
    function initialize(address base, address quote) external;

    /// @notice Mints shares to `to` for what was sent since the last call; the first mint locks MINIMUM_LIQUIDITY.
    function mint(address to) external returns (uint256 shares);
    /// @notice Burns the shares that were sent here and pays both tokens to `to`, rounded down.
    function burn(address to) external returns (uint256 baseAmount, uint256 quoteAmount);
    /// @notice Pays exactly what is asked for to `to`, if what was sent since the last call keeps the product.
    function swap(uint256 baseOut, uint256 quoteOut, address to) external;
    /// @notice Pays what exceeds the reserves to `to`.
    function skim(address to) external;
    /// @notice Makes the reserves what is there.
    function sync() external;

    /// @notice The synth.
    function base() external view returns (address);
    /// @notice The settlement token.
    function quote() external view returns (address);
    /// @return baseReserve Atoms of the synth.
    /// @return quoteReserve Atoms of the settlement token.
    /// @return at Unix seconds of the last change.
    function reserves() external view returns (uint112 baseReserve, uint112 quoteReserve, uint32 at);
    /// @return baseCumulative Sum over seconds of quote/base as UQ112x112 (wraps), up to now.
    /// @return quoteCumulative Sum over seconds of base/quote as UQ112x112 (wraps), up to now.
    /// @return at Now, as 32 bits.
    function cumulativePrices() external view returns (uint256 baseCumulative, uint256 quoteCumulative, uint32 at);
    /// @notice Most that comes out for `amountIn`: Uniswap v2's formula at 30 bps, rounded down; zero from an empty
    /// pool, or for more than a pool can hold. Never reverts.
    /// @param isBaseIn Whether base comes in and quote goes out.
    function getAmountOut(uint256 amountIn, bool isBaseIn) external view returns (uint256 amountOut);
    /// @notice Least that must come in for `amountOut`, rounded up.
    /// @param isBaseOut Whether base goes out and quote comes in.
    function getAmountIn(uint256 amountOut, bool isBaseOut) external view returns (uint256 amountIn);
}
