// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @dev What every event of the Vault changes, in one word:
/// uint40 sequence | uint40 drainedAt | uint88 deposits | uint88 withdrawals.
/// `sequence` is the last number taken: 2^40 of them are 300 years of blocks full of events. `drainedAt` is when the
/// settlement token's outflow has drained (see Outflows). `deposits` and `withdrawals` are units since deployment.
type Flow is uint256;

using Flows for Flow global;

/// @title How a Flow is packed
library Flows {
    uint256 private constant DRAINED = uint256(type(uint40).max) << 176;

    function sequence(Flow flow) internal pure returns (uint256) {
        return Flow.unwrap(flow) >> 216;
    }

    function drainedAt(Flow flow) internal pure returns (uint256) {
        return uint40(Flow.unwrap(flow) >> 176);
    }

    function deposits(Flow flow) internal pure returns (uint256) {
        return uint88(Flow.unwrap(flow) >> 88);
    }

    function withdrawals(Flow flow) internal pure returns (uint256) {
        return uint88(Flow.unwrap(flow));
    }

    /// @param drainedAt_ Has 40 bits.
    function withDrainedAt(Flow flow, uint256 drainedAt_) internal pure returns (Flow) {
        return Flow.wrap((Flow.unwrap(flow) & ~DRAINED) | (drainedAt_ << 176));
    }

    function withEvents(Flow flow, uint256 events) internal pure returns (Flow) {
        unchecked {
            return Flow.wrap(Flow.unwrap(flow) + (events << 216));
        }
    }

    function withDeposit(Flow flow, uint256 units) internal pure returns (Flow) {
        SafeCast.toUint88(deposits(flow) + units);
        unchecked {
            return Flow.wrap(Flow.unwrap(flow) + (units << 88));
        }
    }

    /// @param units Have been deposited before, so that withdrawals never exceed deposits.
    function withWithdrawal(Flow flow, uint256 units) internal pure returns (Flow) {
        unchecked {
            return Flow.wrap(Flow.unwrap(flow) + units);
        }
    }
}
