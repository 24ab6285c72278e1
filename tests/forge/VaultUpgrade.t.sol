// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Initializable} from "@openzeppelin/contracts-upgradeable/proxy/utils/Initializable.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {
    EXIT_DELAY,
    MAX_PRICE_AGE,
    MIN_UPGRADE_DELAY,
    SETTLEMENT_WINDOW,
    SHUTDOWN_DELAY,
    SHUTDOWN_GRACE
} from "../../contracts/interfaces/Types.sol";
import {Timelock} from "../../contracts/Timelock.sol";
import {Vault} from "../../contracts/Vault.sol";
import {VaultProxy} from "../../contracts/VaultProxy.sol";
import {Fixture} from "./Fixture.sol";

contract VaultTwo is Vault {
    function version() external pure returns (uint256) {
        return 2;
    }
}

/// @title Construction and upgrades
contract VaultUpgradeTest is Fixture {
    bytes32 internal constant UPGRADER_ROLE = keccak256("UPGRADER_ROLE");

    /// @dev Anybody's timelock: ours has a floor of its own.
    function timelockOf(uint256 delay) internal returns (TimelockController) {
        address[] memory self = new address[](1);
        self[0] = address(this);
        return new TimelockController(delay, self, self, address(this));
    }

    /// @dev Through the timelock; the wait is `delay`.
    function upgrade(TimelockController timelock, uint256 delay) internal {
        bytes memory call = abi.encodeCall(vault.upgradeToAndCall, (address(new VaultTwo()), ""));
        timelock.schedule(address(vault), 0, call, 0, 0, delay);
        vm.warp(block.timestamp + delay);
        timelock.execute(address(vault), 0, call, 0, 0);
    }

    function test_windows_are_in_order() public pure {
        vm.assertTrue(SETTLEMENT_WINDOW < EXIT_DELAY && EXIT_DELAY < SHUTDOWN_DELAY);
        // The longest way out: through a shutdown, then by a request.
        vm.assertTrue(MAX_PRICE_AGE + SHUTDOWN_DELAY + SHUTDOWN_GRACE + EXIT_DELAY < MIN_UPGRADE_DELAY);
        vm.assertEq(SETTLEMENT_WINDOW, 5 minutes);
        vm.assertEq(EXIT_DELAY, 15 minutes);
        vm.assertEq(MAX_PRICE_AGE, 1 hours);
        vm.assertEq(SHUTDOWN_DELAY, 6 hours);
        vm.assertEq(MIN_UPGRADE_DELAY, 24 hours);
    }

    function test_initialize_once_and_never_the_implementation() public {
        vm.expectRevert(Initializable.InvalidInitialization.selector);
        vault.initialize(alice, alice, alice, alice, alice, alice, alice, 0);
        vm.expectRevert(Initializable.InvalidInitialization.selector);
        implementation.initialize(alice, alice, alice, alice, alice, alice, alice, 0);
    }

    function test_initialize_refuses_zero() public {
        for (uint256 i; i < 7; ++i) {
            address[7] memory a =
                [address(this), address(usdc), address(cxpt), address(1), address(2), address(3), address(4)];
            a[i] = address(0);
            bytes memory call = abi.encodeCall(Vault.initialize, (a[0], a[1], a[2], a[3], a[4], a[5], a[6], 0));
            vm.expectRevert(IVault.ZeroAddress.selector);
            new VaultProxy(address(implementation), call);
        }
    }

    function test_upgrade_through_a_long_timelock_keeps_the_state() public {
        giveUnits(alice, 1_000);
        TimelockController timelock = timelockOf(MIN_UPGRADE_DELAY);
        vault.grantRole(UPGRADER_ROLE, address(timelock));
        upgrade(timelock, MIN_UPGRADE_DELAY);
        vm.assertEq(VaultTwo(address(vault)).version(), 2);
        vm.assertEq(units(alice), 1_000);
        vm.assertEq(vault.quoteToken(), address(usdc));
    }

    function test_upgrader_must_be_a_long_timelock() public {
        TimelockController short = timelockOf(MIN_UPGRADE_DELAY - 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.UpgradeDelayTooShort.selector, address(short)));
        vault.grantRole(UPGRADER_ROLE, address(short));
        vm.expectRevert(abi.encodeWithSelector(IVault.UpgradeDelayTooShort.selector, alice));
        vault.grantRole(UPGRADER_ROLE, alice);
        vm.expectRevert();
        vault.grantRole(UPGRADER_ROLE, address(usdc));
    }

    function test_our_timelock_cannot_be_shortened_below_the_floor() public {
        address[] memory self = new address[](1);
        self[0] = address(this);
        Timelock timelock = new Timelock(MIN_UPGRADE_DELAY, self, self, address(0));
        bytes memory shorten = abi.encodeCall(timelock.updateDelay, (0));
        timelock.schedule(address(timelock), 0, shorten, 0, 0, MIN_UPGRADE_DELAY);
        vm.warp(block.timestamp + MIN_UPGRADE_DELAY);
        timelock.execute(address(timelock), 0, shorten, 0, 0);

        vm.assertEq(timelock.getMinDelay(), MIN_UPGRADE_DELAY);
        bytes memory grant = abi.encodeCall(vault.grantRole, (vault.SETTLEMENT_ROLE(), address(this)));
        vm.expectRevert(
            abi.encodeWithSelector(
                TimelockController.TimelockInsufficientDelay.selector, MIN_UPGRADE_DELAY - 1, MIN_UPGRADE_DELAY
            )
        );
        timelock.schedule(address(vault), 0, grant, 0, 0, MIN_UPGRADE_DELAY - 1);
    }

    function test_upgrade_is_refused_once_the_timelock_is_shortened() public {
        TimelockController timelock = timelockOf(MIN_UPGRADE_DELAY);
        vault.grantRole(UPGRADER_ROLE, address(timelock));
        bytes memory shorten = abi.encodeCall(timelock.updateDelay, (1 hours));
        timelock.schedule(address(timelock), 0, shorten, 0, 0, MIN_UPGRADE_DELAY);
        vm.warp(block.timestamp + MIN_UPGRADE_DELAY);
        timelock.execute(address(timelock), 0, shorten, 0, 0);

        bytes memory call = abi.encodeCall(vault.upgradeToAndCall, (address(new VaultTwo()), ""));
        timelock.schedule(address(vault), 0, call, 0, 0, 1 hours);
        vm.warp(block.timestamp + 1 hours);
        vm.expectRevert(abi.encodeWithSelector(IVault.UpgradeDelayTooShort.selector, address(timelock)));
        timelock.execute(address(vault), 0, call, 0, 0);
    }

    function test_upgrade_needs_the_role() public {
        address next = address(new VaultTwo());
        vm.expectRevert();
        vault.upgradeToAndCall(next, "");
        TimelockController timelock = timelockOf(MIN_UPGRADE_DELAY);
        vm.prank(address(timelock));
        vm.expectRevert();
        vault.upgradeToAndCall(next, "");
    }

    function test_storage_is_where_erc7201_says() public view {
        bytes32 location =
            keccak256(abi.encode(uint256(keccak256("hooats.storage.Vault")) - 1)) & ~bytes32(uint256(0xff));
        vm.assertEq(address(uint160(uint256(vm.load(address(vault), location)))), address(usdc));
    }
}
