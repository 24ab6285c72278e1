// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IAmmFactory} from "./interfaces/IAmmFactory.sol";
import {IAmmPair} from "./interfaces/IAmmPair.sol";
import {IPriceSource} from "./interfaces/IPriceSource.sol";
import {ITwapSource} from "./interfaces/ITwapSource.sol";

/// @title Time-weighted average prices of AMM pools; see ITwapSource
contract TwapSource is ITwapSource {
    /// @dev `cumulative` is the pool's `baseCumulative` at `at`.
    struct Observation {
        uint256 cumulative;
        uint32 at;
    }

    /// @dev Eight observations at least WINDOW / 4 apart: the oldest is at least 7/4 WINDOW old, however often anyone
    /// updates.
    uint256 public constant OBSERVATIONS = 8;
    uint32 private constant OBSERVATIONS_PER_WINDOW = 4;
    /// @dev Seconds; the bounds of WINDOW.
    uint256 public constant MIN_WINDOW = 1 minutes;
    uint256 public constant MAX_WINDOW = 1 days;
    /// @dev Prices are quote units per this many synth atoms.
    uint256 private constant PRICE_ATOMS = 1e18;

    IAmmFactory public immutable FACTORY;
    /// @inheritdoc ITwapSource
    uint32 public immutable override WINDOW;

    /* STORAGE */

    mapping(address synth => Observation[OBSERVATIONS]) private _observations;
    /// @dev How many were ever kept; the next one goes to this place modulo OBSERVATIONS.
    mapping(address synth => uint256) private _count;

    constructor(address factory, uint32 window) {
        if (factory.code.length == 0 || window < MIN_WINDOW || window > MAX_WINDOW) revert MalformedSource();
        FACTORY = IAmmFactory(factory);
        WINDOW = window;
    }

    /// @inheritdoc ITwapSource
    function update(address synth) external returns (bool isKept) {
        (bool isLiquid, uint256 cumulative, uint32 at) = _look(synth);
        if (!isLiquid) return false;
        uint256 count = _count[synth];
        if (count != 0 && _since(_observation(synth, count - 1).at, at) < WINDOW / OBSERVATIONS_PER_WINDOW) {
            return false;
        }

        _observations[synth][count % OBSERVATIONS] = Observation(cumulative, at);
        _count[synth] = count + 1;
        emit Observed(synth, cumulative);
        return true;
    }

    /// @inheritdoc IPriceSource
    function read(address synth) external view returns (uint256 price, uint40 at) {
        (bool isLiquid, uint256 cumulative, uint32 time) = _look(synth);
        if (!isLiquid) return (0, 0);

        uint256 count = _count[synth];
        for (uint256 back = 1; back <= OBSERVATIONS && back <= count; ++back) {
            Observation storage observation = _observation(synth, count - back);
            uint256 elapsed = _since(observation.at, time);
            if (elapsed < WINDOW) continue;
            if (elapsed > 2 * uint256(WINDOW)) break;

            uint256 sum;
            unchecked {
                // Both wrapped: the difference is right.
                sum = cumulative - observation.cumulative;
            }
            return (_toPriceDown(sum / elapsed), uint40(block.timestamp));
        }
        return (0, 0);
    }

    /// @dev The pool's sum up to now. Without liquidity the sum stands still: no time without may be averaged over,
    /// and a pool never loses all of it again.
    function _look(address synth) private view returns (bool isLiquid, uint256 cumulative, uint32 at) {
        address pair = FACTORY.pairOf(synth);
        if (pair == address(0)) return (false, 0, 0);

        (uint112 baseReserve, uint112 quoteReserve,) = IAmmPair(pair).reserves();
        (cumulative,, at) = IAmmPair(pair).cumulativePrices();
        isLiquid = baseReserve != 0 && quoteReserve != 0;
    }

    function _observation(address synth, uint256 number) private view returns (Observation storage) {
        return _observations[synth][number % OBSERVATIONS];
    }

    /// @dev Seconds; 32-bit times wrap.
    function _since(uint32 earlier, uint32 later) private pure returns (uint32) {
        unchecked {
            return later - earlier;
        }
    }

    /// @dev From UQ112x112 quote units per atom.
    function _toPriceDown(uint256 average) private pure returns (uint256) {
        return Math.mulDiv(average, PRICE_ATOMS, 1 << 112);
    }

    /* VIEWS */

    /// @inheritdoc ITwapSource
    function lastUpdate(address synth) external view returns (uint32 at) {
        uint256 count = _count[synth];
        return count == 0 ? 0 : _observation(synth, count - 1).at;
    }
}
