// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {Authorization, SHUTDOWN_GRACE} from "../../contracts/interfaces/Types.sol";
import {Change} from "../../contracts/libraries/Changes.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {Fixture} from "./Fixture.sol";

/// @title A venue with debt positions in tBTC, and the words to go into debt
/// @dev Alice, bob and carol have a million units each. The issuer alone mints and burns.
abstract contract Debtors is Fixture {
    /// @dev 60,000 USDC for one tBTC.
    uint256 internal constant PRICE = 60_000e6;
    /// @dev 150 % of it.
    uint128 internal constant REQUIRED = 90_000e6;
    uint128 internal constant ONE = 1e18;
    uint256 internal constant WEALTH = 1_000_000e6;

    function setUp() public virtual override {
        super.setUp();
        createIssuer();
        vault.revokeRole(vault.CORE_ROLE(), address(this));
        post(PRICE);
        giveUnits(alice, WEALTH);
        giveUnits(bob, WEALTH);
        giveUnits(carol, WEALTH);
    }

    function post(uint256 price) internal {
        oracle.set(address(btc), price);
    }

    function terms(uint128 ceiling) internal pure returns (ISynthIssuer.Terms memory) {
        return ISynthIssuer.Terms(ceiling, 150, 120, 10);
    }

    function mayLock(address account, uint256 amount) internal virtual returns (Authorization memory) {
        return approve(account, address(usdc), amount, VaultMessages.PURPOSE_LOCK);
    }

    function mayBurn(address account, uint256 amount) internal virtual returns (Authorization memory) {
        return approve(account, address(btc), amount, VaultMessages.PURPOSE_BURN);
    }

    function open(address account, uint128 collateral, uint128 debt) internal {
        Authorization memory approval = mayLock(account, collateral);
        vm.prank(account);
        issuer.open(address(btc), collateral, debt, approval);
    }

    function openReverts(address account, uint128 collateral, uint128 debt, bytes memory reason) internal {
        Authorization memory approval = mayLock(account, collateral);
        vm.prank(account);
        vm.expectRevert(reason);
        issuer.open(address(btc), collateral, debt, approval);
    }

    function close(address account, uint128 collateral, uint128 debt) internal {
        Authorization memory approval = mayBurn(account, debt);
        vm.prank(account);
        issuer.close(address(btc), collateral, debt, approval);
    }

    function closeReverts(address account, uint128 collateral, uint128 debt, bytes memory reason) internal {
        Authorization memory approval = mayBurn(account, debt);
        vm.prank(account);
        vm.expectRevert(reason);
        issuer.close(address(btc), collateral, debt, approval);
    }

    /// @dev With the countersignature for `debt`.
    function liquidate(address liquidator, address account, uint128 debt)
        internal
        returns (uint128 repaid, uint128 collateral)
    {
        Authorization memory approval = mayBurn(liquidator, debt);
        vm.prank(liquidator);
        return issuer.liquidate(account, address(btc), debt, 0, approval);
    }

    function liquidateReverts(address liquidator, address account, uint128 debt, bytes memory reason) internal {
        Authorization memory approval = mayBurn(liquidator, debt);
        vm.prank(liquidator);
        vm.expectRevert(reason);
        issuer.liquidate(account, address(btc), debt, 0, approval);
    }

    /// @dev Shut down at the last price, seven hours after it, and an hour later that price is final.
    function shutDown() internal {
        vm.warp(block.timestamp + 7 hours);
        issuer.shutDown(address(btc));
        vm.warp(block.timestamp + SHUTDOWN_GRACE + 1);
    }

    function settlePositions(address[3] memory accounts) internal {
        address[] memory all = new address[](3);
        for (uint256 i; i < 3; ++i) {
            all[i] = accounts[i];
        }
        issuer.settlePositions(address(btc), all);
    }

    function redeem(address account, uint256 amount) internal returns (uint256) {
        Authorization memory approval = mayBurn(account, amount);
        vm.prank(account);
        return issuer.redeem(address(btc), amount, approval);
    }

    /// @dev Moves synth between Vault accounts as a settled fill does.
    function give(address from, address to, uint256 amount) internal {
        (address[] memory accounts, Change[] memory changes) = movement(from, to, amount);
        vm.prank(address(settlement));
        vault.applySettlement(address(btc), accounts, changes);
    }

    function atoms(address account) internal view returns (uint256) {
        return vault.balanceOf(account, address(btc));
    }

    function assertPosition(address account, uint256 collateral, uint256 debt) internal view {
        ISynthIssuer.Position memory position = issuer.positionOf(account, address(btc));
        vm.assertEq(position.collateral, collateral, "collateral");
        vm.assertEq(position.debt, debt, "debt");
    }
}
