// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Pool} from "./Pool.sol";

/// @title AMM fills when a unit is not worth one atom: nobody's dust is lost to the pool, and no promise breaks
/// @dev Nothing raises the index yet; the test writes it where the Vault keeps it.
contract SettlementAmmIndexTest is Pool {
    /// @dev Of the Vault's namespace: the word with the member `index` in it, behind an address.
    bytes32 internal constant INDEX_SLOT = 0x24cceb369ce4f087d3758e4680ea9ef76039097447076b45e4f15debd195e300;

    function setIndex(uint256 index) internal {
        uint256 word = uint256(vm.load(address(vault), INDEX_SLOT));
        vm.assertEq(uint256(uint64(word >> 160)), 1e18);
        vm.store(address(vault), INDEX_SLOT, bytes32(word ^ ((1e18 ^ index) << 160)));
        vm.assertEq(vault.index(), index);
    }

    /// @dev What the accounts could withdraw is there.
    function assertCovered(uint256 index) internal view {
        IVault.Totals memory totals = vault.totalsOf(address(usdc));
        vm.assertLe(totals.internalTotal * index / 1e18, usdc.balanceOf(address(vault)));
    }

    function testFuzz_a_purchase_at_any_index(uint256 index, uint256 quote) public {
        index = bound(index, 0.5e18, 1.5e18);
        giveUnits(alice, 10_000_000);
        usdc.mint(address(vault), 5_000_000); // the yield behind the highest index
        setIndex(index);
        quote = bound(quote, 1_010_000, 2_200_000);
        uint256 given = bought(btc, btcPool, quote * index / 1e18);

        leg(ammBuy(alice, 22_000, 100), quote);
        bool isEnough = given >= 100 * BASE_PER_LOT;
        vm.assertEq(settle(), isEnough ? bytes("") : refusal(0, 6));
        vm.assertEq(vault.balanceOf(alice, address(btc)), isEnough ? given : 0);
        vm.assertEq(units(alice), isEnough ? 10_000_000 - quote : 10_000_000);
        vm.assertEq(units(address(btcPool)), 0);
        assertCovered(index);
    }

    function testFuzz_a_sale_at_any_index(uint256 index, uint256 quote) public {
        index = bound(index, 0.5e18, 1.5e18);
        giveLots(bob, 1_000);
        setIndex(index);
        quote = bound(quote, 600_000, 2_000_000);
        uint256 given = proceeds(btc, btcPool, 100) * 1e18 / index;

        leg(ammSell(bob, 6_000, 100), quote);
        bool isEnough = given >= quote;
        vm.assertEq(settle(), isEnough ? bytes("") : refusal(0, 6));
        vm.assertEq(units(bob), isEnough ? given : 0);
        vm.assertEq(lotsOf(bob), isEnough ? 900 : 1_000);
        vm.assertEq(units(address(btcPool)), 0);
        assertCovered(index);
    }
}
