// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

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

/// @title The proxy in front of it: reads its admin and its implementation, then delegates
/// @dev As `FiatTokenProxy` (AdminUpgradeabilityProxy of ZeppelinOS) does on every call.
contract FiatTokenProxy {
    /// @dev keccak256("org.zeppelinos.proxy.implementation") and keccak256("org.zeppelinos.proxy.admin").
    bytes32 private constant IMPLEMENTATION_SLOT = 0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3;
    bytes32 private constant ADMIN_SLOT = 0x10d6a54a4754c8869d6886b5f5d7fbfa5b4522237ea5c60d11bc4e7a1ff9390b;

    constructor(address implementation) {
        (bytes32 implementationSlot, bytes32 adminSlot) = (IMPLEMENTATION_SLOT, ADMIN_SLOT);
        // solhint-disable-next-line no-inline-assembly
        assembly {
            sstore(implementationSlot, implementation)
            sstore(adminSlot, 1)
        }
    }

    fallback() external {
        (bytes32 implementationSlot, bytes32 adminSlot) = (IMPLEMENTATION_SLOT, ADMIN_SLOT);
        // solhint-disable-next-line no-inline-assembly
        assembly {
            if eq(caller(), sload(adminSlot)) { revert(0, 0) }
            calldatacopy(0, 0, calldatasize())
            let success := delegatecall(gas(), sload(implementationSlot), 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch success
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }
}

/// @return token A FiatToken, by the words of TestUSDC.
function newProxiedUsdc() returns (TestUSDC token) {
    return TestUSDC(address(new FiatTokenProxy(address(new FiatToken()))));
}
