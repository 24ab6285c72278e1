// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";

/// @title For tests: an oracle whose answers anyone sets. Of IPriceOracle it has what the issuer asks.
contract SettableOracle {
    struct Answer {
        uint256 price;
        uint40 at;
        uint40 resumedAt;
        uint32 maxAge;
    }

    uint32 public constant MAX_AGE = 1 hours;

    mapping(address synth => Answer) private _answers;
    mapping(address synth => uint256) private _medians;

    /// @notice A price accepted now. A stale one before it makes it a resumed one.
    function set(address synth, uint256 price) external {
        Answer storage answer = _answers[synth];
        if (answer.at != 0 && block.timestamp > answer.at + answer.maxAge) answer.resumedAt = uint40(block.timestamp);
        (answer.price, answer.at, answer.maxAge) = (price, uint40(block.timestamp), MAX_AGE);
    }

    /// @notice What posters say, ahead of the accepted price; 0 for nothing else than that.
    function setMedian(address synth, uint256 median) external {
        _medians[synth] = median;
    }

    /// @dev The same as in IPriceOracle.
    function medianOf(address synth) external view returns (uint256 median, uint8 readings) {
        Answer storage answer = _answers[synth];
        if (_medians[synth] != 0) return (_medians[synth], 1);
        return block.timestamp <= answer.at + answer.maxAge ? (answer.price, 1) : (0, 0);
    }

    /// @dev The same as in IPriceOracle, a quorum of one.
    function feedOf(address) external pure returns (IPriceOracle.Feed memory feed) {
        feed.quorum = 1;
    }

    /// @dev The same as in IPriceOracle.
    function priceOf(address synth) external view returns (uint256 price, uint40 at, uint40 resumedAt, uint32 maxAge) {
        Answer memory answer = _answers[synth];
        return (answer.price, answer.at, answer.resumedAt, answer.maxAge);
    }
}
