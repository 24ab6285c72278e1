// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title A pool in the plainest way, that a test can turn against those who trust it
/// @dev Only what Settlement and Vault ask of a pair; no shares, no product check.
contract PlainPair {
    IERC20 public immutable base;
    IERC20 public immutable quote;
    uint256 internal baseReserve;
    uint256 internal quoteReserve;
    uint256 internal shortfall;
    bool internal isMute;

    constructor(IERC20 base_, IERC20 quote_) {
        (base, quote) = (base_, quote_);
    }

    function sync() external {
        (baseReserve, quoteReserve) = (base.balanceOf(address(this)), quote.balanceOf(address(this)));
    }

    /// @dev From now on a swap pays `atoms` less than it is asked for.
    function lie(uint256 atoms) external {
        shortfall = atoms;
    }

    /// @dev From now on it does not answer.
    function fallSilent() external {
        isMute = true;
    }

    function getAmountOut(uint256 amountIn, bool isBaseIn) external view returns (uint256) {
        require(!isMute, "mute");
        (uint256 reserveIn, uint256 reserveOut) = isBaseIn ? (baseReserve, quoteReserve) : (quoteReserve, baseReserve);
        return amountIn * 997 * reserveOut / (reserveIn * 1_000 + amountIn * 997);
    }

    function swap(uint256 baseOut, uint256 quoteOut, address to) external {
        if (baseOut != 0) base.transfer(to, baseOut - shortfall);
        if (quoteOut != 0) quote.transfer(to, quoteOut - shortfall);
        (baseReserve, quoteReserve) = (base.balanceOf(address(this)), quote.balanceOf(address(this)));
    }
}
