// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title For tests: an oracle whose answers anyone sets. Of IPriceOracle it has `priceOf` only.
contract SettableOracle {
    struct Answer {
        uint256 price;
        uint40 at;
        uint40 resumedAt;
        uint32 maxAge;
    }

    uint32 public constant MAX_AGE = 1 hours;

    mapping(address synth => Answer) private _answers;

    /// @notice A price accepted now. A stale one before it makes it a resumed one.
    function set(address synth, uint256 price) external {
        Answer storage answer = _answers[synth];
        if (answer.at != 0 && block.timestamp > answer.at + answer.maxAge) answer.resumedAt = uint40(block.timestamp);
        (answer.price, answer.at, answer.maxAge) = (price, uint40(block.timestamp), MAX_AGE);
    }

    /// @dev The same as in IPriceOracle.
    function priceOf(address synth) external view returns (uint256 price, uint40 at, uint40 resumedAt, uint32 maxAge) {
        Answer memory answer = _answers[synth];
        return (answer.price, answer.at, answer.resumedAt, answer.maxAge);
    }
}
