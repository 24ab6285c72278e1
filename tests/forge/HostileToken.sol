// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {BoundlessUSDC} from "./Fixture.sol";

/// @title A settlement token that keeps to no standard while it is told to: it calls back, lies, refuses, or keeps a part
/// @dev The Vault assumes none of this of USDC. What it must do all the same: let nobody in again, and leave its books as
/// they were when a transfer fails.
contract HostileToken is BoundlessUSDC {
    enum Mood {
        Standard,
        ReturnsFalse,
        ReturnsNothing,
        Reverts
    }

    error Moody();

    Mood public mood;
    address private _vault;
    bytes private _payload;
    /// @dev Whether the Vault did what it was called for while it was at work.
    bool public wasLetIn;
    uint256 public knocks;

    function be(Mood mood_) external {
        mood = mood_;
    }

    /// @dev Whenever the Vault pays or is paid. None: not at all.
    function callBack(address vault, bytes calldata payload) external {
        (_vault, _payload) = (vault, payload);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        _misbehave(msg.sender == _vault || to == _vault);
        return super.transfer(to, amount) && _answer();
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        _misbehave(to == _vault);
        return super.transferFrom(from, to, amount) && _answer();
    }

    function _misbehave(bool isVaults) private {
        if (mood == Mood.Reverts) revert Moody();
        if (!isVaults || _payload.length == 0) return;
        ++knocks;
        // solhint-disable-next-line avoid-low-level-calls
        (bool success,) = _vault.call(_payload);
        wasLetIn = wasLetIn || success;
    }

    function _answer() private view returns (bool) {
        if (mood == Mood.ReturnsNothing) {
            // solhint-disable-next-line no-inline-assembly
            assembly {
                return(0, 0)
            }
        }
        return mood != Mood.ReturnsFalse;
    }
}
