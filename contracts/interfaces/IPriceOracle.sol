// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPriceSource} from "./IPriceSource.sol";

/// @title The accepted price of every synth: the median of posters and sources, bounded in how fast it moves
///
/// ASSUMPTIONS
/// - A reading counts while it is no older than the feed's `maxAge`. With fewer than `quorum` readings that count
///   nothing is accepted, and the accepted price grows stale.
/// - The accepted price moves towards the median by at most `maxMovePpmPerMinute` per minute since it was last
///   accepted (at most for `maxAge`): one bad minute of a quorum is bounded.
/// - The most that liars can do who are the majority of the readings that count: t minutes after the last price p that
///   was accepted without them, it is at most p * e^(r * t) and at least p * (1 - r * t), with
///   r = maxMovePpmPerMinute / 10^6. In an hour that is +34.99 % or -30 % at 5,000 ppm, +82.22 % or -60 % at 10,000.
///   (Rising in many small steps compounds; falling does best in one step.) A minority moves it only within the range
///   of the honest readings.
/// - Sources are less than half of every quorum (`quorum > 2 * sources`): all of them lying together move the price
///   within the range of the posters' readings only, and without posters there is no price, however alive they are.
///   Otherwise a synth whose operator is dead could not be shut down.
/// - A price that was stale and is accepted again has `resumedAt` = then: whoever was asleep gets time before anything
///   is liquidated.
///
/// - Units: a price is units of the settlement token per 1e18 synth atoms; times are Unix seconds.
///
/// WHO MAY CALL: posters and `accept` (anyone) make prices; LISTER_ROLE sets a feed once; the admin (ITwoStepAdmin, the
/// timelock) changes feeds, and appoints and dismisses posters, a day after saying so. A poster can leave at once
/// (`renounceRole`), which is what to do with a stolen key. Nobody sets a price.
///
/// WARNINGS
/// - A quorum of one is one key. Whoever changes a feed changes at which price debtors are liquidated, a day later.
/// - `accept` takes readings that are up to `maxAge` old, and its price then counts for `maxAge`: what a valid price
///   rests on can be up to 2 * maxAge old. Who waits for the end of a price waits from its acceptance, not from the
///   last post.
interface IPriceOracle {
    /// @param quorum Readings that must count: above twice the number of sources, from 1 to MAX_POSTERS (16)
    /// and that number.
    /// @param maxAge Seconds for which a reading and the accepted price count, from 1 to MAX_AGE (1 hour).
    /// @param maxMovePpmPerMinute Bound of the accepted price's speed, from 1 to 10^6.
    /// @param sources Sources beside the posters; at most MAX_SOURCES (4), no two the same.
    struct Feed {
        uint8 quorum;
        uint32 maxAge;
        uint32 maxMovePpmPerMinute;
        IPriceSource[] sources;
    }

    /// @notice The feed of `synth` from now on; see Feed.
    event FeedConfigured(
        address indexed synth, uint8 quorum, uint32 maxAge, uint32 maxMovePpmPerMinute, IPriceSource[] sources
    );
    /// @notice A reading of `poster`, which counts for the feed's `maxAge`.
    event PricePosted(address indexed poster, address indexed synth, uint256 price);
    /// @notice The accepted price from this block on.
    /// @param price Rounded down; moved towards `median` at the feed's speed.
    /// @param readings How many counted, the quorum at least.
    /// @param resumedAt As `priceOf` has it.
    event PriceAccepted(address indexed synth, uint256 price, uint256 median, uint8 readings, uint40 resumedAt);

    /// @notice Thrown when a synth has no feed.
    error UnknownFeed(address synth);
    /// @notice Thrown when a feed's parameters are out of their bounds.
    error MalformedFeed();
    /// @notice Thrown when a posted price is zero or does not fit 128 bits.
    error PriceOutOfRange(uint256 price);
    /// @notice Thrown when arrays do not match.
    error LengthMismatch();
    /// @notice Thrown when a post comes later than its poster wanted.
    error DeadlinePassed(uint40 deadline);
    /// @notice Thrown when MAX_POSTERS have the role.
    error TooManyPosters();
    /// @notice Thrown when the gas that is left would let a source fail that has done nothing wrong.
    error InsufficientGas();

    /// @notice Sets a feed. LISTER_ROLE may set one that is not there; only DEFAULT_ADMIN_ROLE may change one. The
    /// accepted price stays; one that was stale under the old feed counts as resumed now.
    function configure(address synth, Feed calldata feed) external;

    /// @notice Posts the caller's prices (POSTER_ROLE) and accepts new medians where a quorum is there. Units of the
    /// settlement token per 1e18 synth atoms.
    function post(address[] calldata synths, uint256[] calldata prices) external;

    /// @notice Like `post`, but reverts after `deadline` (unix seconds): a transaction that was held up must not pass
    /// an old price off as a new one.
    function postUntil(uint40 deadline, address[] calldata synths, uint256[] calldata prices) external;

    /// @notice Accepts the present median, if a quorum is there. Anyone may call it; without a quorum it changes
    /// nothing. Costs up to SOURCE_GAS (200,000) per source beside the readings, and refuses to run with too little
    /// gas: otherwise its caller could choose whose reading counts.
    function accept(address synth) external returns (bool accepted);

    /// @notice The accepted price. Valid while `block.timestamp <= at + maxAge`.
    /// @return price 0 if none was ever accepted.
    /// @return at When it was accepted.
    /// @return resumedAt When a stale price was accepted again the last time; 0 if it never was stale. The very first
    /// price resumes nothing: nobody can be in debt before it.
    /// @return maxAge The feed's.
    function priceOf(address synth) external view returns (uint256 price, uint40 at, uint40 resumedAt, uint32 maxAge);

    /// @notice All zero without one.
    function feedOf(address synth) external view returns (Feed memory);
    /// @notice The median of the readings that count now, whatever their number; what `accept` would move towards.
    /// @return median 0 without any, rounded down.
    /// @return readings How many count.
    function medianOf(address synth) external view returns (uint256 median, uint8 readings);
    /// @return price What `poster` posted last for `synth`, 0 if never, or not since it became a poster.
    function postOf(address poster, address synth) external view returns (uint256 price, uint40 at);
    /// @notice Who holds POSTER_ROLE, MAX_POSTERS at most, in no order that lasts.
    function posters() external view returns (address[] memory);
}
