// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title Fees. Python twin: `offchain.domain.units.fee_up`
library FeeMath {
    int256 internal constant PPM = 1_000_000;

    /// @dev ceil(notional * ppm / 10^6), for a negative rate too (a rebate is rounded towards zero). The venue never
    /// loses the dust: feeUp(n, a) + feeUp(n, b) >= 0 whenever a + b >= 0.
    /// @param notional Less than 2^192.
    function feeUp(uint256 notional, int256 ppm) internal pure returns (int256) {
        unchecked {
            // No overflow: a rate has 24 bits. Division rounds towards zero.
            return (int256(notional) * ppm + (ppm > 0 ? PPM - 1 : int256(0))) / PPM;
        }
    }
}
