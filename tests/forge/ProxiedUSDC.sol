// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {TestUSDC} from "../../contracts/mocks/TestUSDC.sol";

/// @title A token as Circle's FiatToken 2.2 is: a proxy, a pause, and a blacklist in the word of the balance
/// @dev What a transfer reads is the same: the implementation, the pause, and the words of payer, receiver and sender.
contract FiatToken {
    uint256 internal constant BLACKLISTED = 1 << 255;

    error Stopped();
    error Listed(address account);

    bool public paused;
    mapping(address account => uint256) internal words;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);

    function decimals() external pure returns (uint8) {
        return 6;
    }

    function balanceOf(address account) public view returns (uint256) {
        return words[account] & ~BLACKLISTED;
    }

    function mint(address to, uint256 amount) external {
        words[to] += amount;
    }

    function pause(bool isPaused) external {
        paused = isPaused;
    }

    function blacklist(address account) external {
        words[account] |= BLACKLISTED;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        requireAllowed(msg.sender);
        move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        requireAllowed(msg.sender);
        uint256 allowed = allowance[from][msg.sender];
        require(amount <= allowed, "allowance");
        if (allowed != type(uint256).max) allowance[from][msg.sender] = allowed - amount;
        move(from, to, amount);
        return true;
    }

    function move(address from, address to, uint256 amount) internal {
        if (paused) revert Stopped();
        requireAllowed(from);
        requireAllowed(to);
        require(amount <= words[from], "balance");
        words[from] -= amount;
        words[to] += amount;
        emit Transfer(from, to, amount);
    }

    function requireAllowed(address account) internal view {
        if (words[account] & BLACKLISTED != 0) revert Listed(account);
    }
}

/// @return token A FiatToken, by the words of TestUSDC.
function newProxiedUsdc() returns (TestUSDC token) {
    return TestUSDC(address(new ERC1967Proxy(address(new FiatToken()), "")));
}
