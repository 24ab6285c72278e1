// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title `SafeERC20.safeTransfer`, without the memory in between: the same calls pass, and the same fail as there
library Transfers {
    function pay(address token, uint256 to, uint256 atoms) internal {
        bool isPaid;
        bytes4 selector = IERC20.transfer.selector;
        assembly ("memory-safe") {
            // Unallocated memory behind the free pointer serves as scratch space.
            let free := mload(0x40)
            mstore(free, selector)
            mstore(add(free, 0x04), to)
            mstore(add(free, 0x24), atoms)
            let isDone := call(gas(), token, 0, free, 0x44, 0, 0x20)
            isPaid := and(isDone, and(eq(mload(0), 1), gt(returndatasize(), 0x1f)))
            if iszero(isPaid) {
                if iszero(isDone) {
                    returndatacopy(free, 0, returndatasize())
                    revert(free, returndatasize())
                }
                // Nothing, from a contract, is as good as true.
                isPaid := iszero(or(returndatasize(), iszero(extcodesize(token))))
            }
        }
        if (!isPaid) revert SafeERC20.SafeERC20FailedOperation(token);
    }
}
