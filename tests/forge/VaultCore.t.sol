// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Authorization, EXIT_DELAY} from "../../contracts/interfaces/Types.sol";
import {Change, Changes} from "../../contracts/libraries/Changes.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {Fixture} from "./Fixture.sol";

/// @title What CORE_ROLE, REGISTRAR_ROLE and SETTLEMENT_ROLE may do, and the views
contract VaultCoreTest is Fixture {
    function setUp() public override {
        super.setUp();
        giveUnits(alice, 1_000);
    }

    /* SYNTHS */

    function test_registerSynth() public {
        SynthERC20 eth = newSynth("Test Ether", "tETH");
        vm.assertFalse(vault.isSynth(address(eth)));
        vm.expectEmit(address(vault));
        emit IVault.SynthRegistered(vault.sequence() + 1, address(eth));
        vault.registerSynth(address(eth));
        vm.assertTrue(vault.isSynth(address(eth)));

        bytes memory reason = abi.encodeWithSelector(IVault.NotRegistrable.selector, address(eth));
        vm.expectRevert(reason);
        vault.registerSynth(address(eth));
        vm.expectRevert(abi.encodeWithSelector(IVault.NotRegistrable.selector, address(usdc)));
        vault.registerSynth(address(usdc));
        SynthERC20 foreign = new SynthERC20(alice);
        vm.expectRevert(abi.encodeWithSelector(IVault.NotRegistrable.selector, address(foreign)));
        vault.registerSynth(address(foreign));
        vm.prank(alice);
        vm.expectRevert();
        vault.registerSynth(address(foreign));
    }

    function test_mintSynth() public {
        vm.expectEmit(address(vault));
        emit IVault.SynthMinted(vault.sequence() + 1, address(btc), alice, 5e18, 5e18);
        vault.mintSynth(address(btc), alice, 5e18);
        vm.assertEq(vault.balanceOf(alice, address(btc)), 5e18);
        vm.assertEq(btc.balanceOf(address(vault)), 5e18);
        vm.assertEq(vault.totalsOf(address(btc)).minted, 5e18);

        vm.expectRevert(IVault.ZeroAmount.selector);
        vault.mintSynth(address(btc), alice, 0);
        vm.expectRevert(abi.encodeWithSelector(IVault.UnknownToken.selector, address(usdc)));
        vault.mintSynth(address(usdc), alice, 1);
        vm.prank(alice);
        vm.expectRevert();
        vault.mintSynth(address(btc), alice, 1);
    }

    function test_burnSynth_with_the_countersignature() public {
        vault.mintSynth(address(btc), alice, 5e18);
        Authorization memory approval = approve(alice, address(btc), 2e18, VaultMessages.PURPOSE_BURN);
        vm.expectEmit(address(vault));
        emit IVault.SynthBurned(vault.sequence() + 1, address(btc), alice, 2e18, 3e18, approval.nonce, 0);
        vault.burnSynth(address(btc), alice, 2e18, approval);
        vm.assertEq(btc.totalSupply(), 3e18);
        vm.assertEq(vault.totalsOf(address(btc)).burned, 2e18);

        vm.expectRevert(abi.encodeWithSelector(IVault.NonceUsed.selector, approval.nonce));
        vault.burnSynth(address(btc), alice, 2e18, approval);
        approval = approve(alice, address(btc), 1e18, VaultMessages.PURPOSE_LOCK);
        vm.expectPartialRevert(IVault.InvalidSigner.selector);
        vault.burnSynth(address(btc), alice, 1e18, approval);
        approval = approve(alice, address(btc), 4e18, VaultMessages.PURPOSE_BURN);
        vm.expectRevert(abi.encodeWithSelector(IVault.InsufficientBalance.selector, alice, address(btc), 4e18, 3e18));
        vault.burnSynth(address(btc), alice, 4e18, approval);
    }

    function test_burnSynth_with_a_matured_request() public {
        vault.mintSynth(address(btc), alice, 5e18);
        vm.expectRevert(IVault.NoRequest.selector);
        vault.burnSynth(address(btc), alice, 2e18, drawOnRequest());
        request(alice, address(btc), 3e18);
        vm.expectRevert(abi.encodeWithSelector(IVault.RequestNotMatured.selector, START + EXIT_DELAY));
        vault.burnSynth(address(btc), alice, 2e18, drawOnRequest());
        vm.warp(START + EXIT_DELAY);
        vm.expectEmit(address(vault));
        emit IVault.SynthBurned(vault.sequence() + 1, address(btc), alice, 2e18, 3e18, 0, 1e18);
        vault.burnSynth(address(btc), alice, 2e18, drawOnRequest());
        vm.expectRevert(abi.encodeWithSelector(IVault.RequestExceeded.selector, 2e18, 1e18));
        vault.burnSynth(address(btc), alice, 2e18, drawOnRequest());
    }

    function test_burnSynth_refuses() public {
        vm.expectRevert(abi.encodeWithSelector(IVault.UnknownToken.selector, address(usdc)));
        vault.burnSynth(address(usdc), alice, 1, drawOnRequest());
        vm.prank(alice);
        vm.expectRevert();
        vault.burnSynth(address(btc), alice, 1, drawOnRequest());
        Authorization memory approval = approve(alice, address(btc), 0, VaultMessages.PURPOSE_BURN);
        vm.expectRevert(IVault.ZeroAmount.selector);
        vault.burnSynth(address(btc), alice, 0, approval);
    }

    /* COLLATERAL */

    function test_lockCollateral_and_unlockCollateral() public {
        Authorization memory approval = approve(alice, address(usdc), 600, VaultMessages.PURPOSE_LOCK);
        vm.expectEmit(address(vault));
        emit IVault.CollateralLocked(vault.sequence() + 1, alice, 600, 400, approval.nonce, 0);
        vault.lockCollateral(alice, 600, approval);
        vm.assertEq(vault.totalsOf(address(usdc)).locked, 600);
        vm.assertEq(vault.totalsOf(address(usdc)).internalTotal, 400);

        vm.expectEmit(address(vault));
        emit IVault.CollateralUnlocked(vault.sequence() + 1, alice, 100, 500);
        vault.unlockCollateral(alice, 100);
        vm.assertEq(vault.totalsOf(address(usdc)).locked, 500);
        vm.expectRevert();
        vault.unlockCollateral(alice, 501);
        vm.expectRevert(IVault.ZeroAmount.selector);
        vault.unlockCollateral(alice, 0);
    }

    function test_lockCollateral_with_a_matured_request() public {
        request(alice, address(usdc), 600);
        vm.warp(START + EXIT_DELAY);
        vm.expectEmit(address(vault));
        emit IVault.CollateralLocked(vault.sequence() + 1, alice, 600, 400, 0, 0);
        vault.lockCollateral(alice, 600, drawOnRequest());
        vm.assertEq(vault.requestOf(alice, address(usdc)).amount, 0);
    }

    function test_collateral_is_for_the_core_only() public {
        vm.startPrank(alice);
        vm.expectRevert();
        vault.lockCollateral(alice, 1, drawOnRequest());
        vm.expectRevert();
        vault.unlockCollateral(alice, 1);
        vm.stopPrank();
    }

    /* SETTLEMENT */

    function settleIn(address token, address[2] memory accounts, int256[2] memory deltas) internal {
        settleIn(token, accounts, deltas, [uint256(0), 0]);
    }

    function settleIn(address token, address[2] memory accounts, int256[2] memory deltas, uint256[2] memory immediates)
        internal
    {
        (address[] memory a, Change[] memory c) = (new address[](2), new Change[](2));
        for (uint256 i; i < 2; ++i) {
            (a[i], c[i]) = (accounts[i], Changes.pack(deltas[i], immediates[i]));
        }
        vault.applySettlement(token, a, c);
    }

    function grantSettlement() internal {
        vault.grantRole(vault.SETTLEMENT_ROLE(), address(this));
    }

    function testFuzz_applySettlement_refuses_what_does_not_sum_to_zero(int128 left, int88 right) public {
        grantSettlement();
        giveUnits(bob, uint256(type(uint88).max) - 1_000);
        if (int256(left) + right == 0) right ^= 1;
        if (left == 0 || right == 0) return;
        vm.expectRevert();
        settleIn(address(usdc), [bob, alice], [int256(left), right]);
    }

    function test_applySettlement() public {
        grantSettlement();
        settleIn(address(usdc), [alice, bob], [int256(-400), 400]);
        vm.assertEq(units(alice), 600);
        vm.assertEq(units(bob), 400);
        vm.expectRevert(abi.encodeWithSelector(IVault.Unbalanced.selector, address(usdc)));
        settleIn(address(usdc), [alice, bob], [int256(-400), 401]);
        vm.expectRevert(abi.encodeWithSelector(IVault.InsufficientBalance.selector, alice, address(usdc), 601, 600));
        settleIn(address(usdc), [alice, bob], [int256(-601), 601]);
        vm.expectRevert(abi.encodeWithSelector(IVault.InsufficientBalance.selector, alice, address(cxpt), 1, 0));
        settleIn(address(cxpt), [alice, bob], [int256(-1), 1]);
        vm.expectRevert();
        vault.applySettlement(address(usdc), new address[](1), new Change[](0));
    }

    function test_applySettlement_uses_up_immediate_orders() public {
        grantSettlement();
        settleIn(address(usdc), [alice, bob], [int256(-400), 400], [uint256(42), 0]);
        vm.assertEq(vault.accountOf(alice).immediateSequence, 42);
        vm.assertEq(vault.accountOf(bob).immediateSequence, 0);
        vm.assertEq(units(alice), 600);
        // Also of an account whose balance stays, and 0 leaves what is there.
        settleIn(address(usdc), [alice, bob], [int256(0), 0], [uint256(0), type(uint48).max]);
        vm.assertEq(vault.accountOf(alice).immediateSequence, 42);
        vm.assertEq(vault.accountOf(bob).immediateSequence, type(uint48).max);
        vm.assertEq(units(bob), 400);
        // A synth has none.
        giveLots(alice, 1);
        settleIn(address(btc), [alice, bob], [int256(-5), 5], [uint256(43), 43]);
        vm.assertEq(vault.accountOf(alice).immediateSequence, 42);
        vm.assertEq(vault.balanceOf(bob, address(btc)), 5);
    }

    function test_applySettlement_writes_one_word_for_each_account() public {
        grantSettlement();
        giveLots(alice, 1);
        vm.record();
        settleIn(address(usdc), [alice, bob], [int256(-400), 400], [uint256(42), 43]);
        (, bytes32[] memory writes) = vm.accesses(address(vault));
        vm.assertEq(writes.length, 2);
        vm.record();
        settleIn(address(btc), [alice, bob], [int256(-5), 5]);
        (, writes) = vm.accesses(address(vault));
        vm.assertEq(writes.length, 2);
    }

    function test_applySettlement_leaves_the_rest_of_the_words_alone() public {
        grantSettlement();
        vault.raiseCancelFloor(alice, 77, uint40(START));
        giveLots(alice, 1);
        request(alice, address(usdc), 700);
        request(alice, address(btc), uint128(BASE_PER_LOT));
        settleIn(address(usdc), [alice, bob], [int256(-400), 400], [uint256(42), 0]);
        settleIn(address(btc), [alice, bob], [int256(-5), 5]);
        vm.assertEq(vault.accountOf(alice).cancelFloor, 77);
        vm.warp(START + EXIT_DELAY);
        vm.assertEq(vault.debitable(alice, address(usdc)), 0);
        vm.assertEq(vault.debitable(alice, address(btc)), 0);
        vm.expectRevert(abi.encodeWithSelector(IVault.InsufficientBalance.selector, alice, address(usdc), 1, 0));
        settleIn(address(usdc), [alice, bob], [int256(-1), 1]);
    }

    function testFuzz_a_change_is_what_was_packed(int208 delta, uint48 immediate) public pure {
        Change change = Changes.pack(delta, immediate);
        vm.assertEq(change.delta(), int256(delta));
        vm.assertEq(change.immediateSequence(), immediate);
    }

    /* VIEWS */

    function test_reconcile() public {
        giveLots(bob, 3);
        (address[] memory accounts, address[] memory tokens) = (new address[](2), new address[](2));
        (accounts[0], accounts[1], tokens[0], tokens[1]) = (alice, bob, address(usdc), address(btc));
        (uint256 blockNumber, uint64 sequence, IVault.Totals[] memory totals, uint256[][] memory balances) =
            vault.reconcile(accounts, tokens);
        vm.assertEq(blockNumber, block.number);
        vm.assertEq(sequence, vault.sequence());
        vm.assertEq(totals[0].deposits, 1_000);
        vm.assertEq(totals[1].minted, 3 * BASE_PER_LOT);
        vm.assertEq(balances[0][0], 1_000);
        vm.assertEq(balances[0][1], 0);
        vm.assertEq(balances[1][0], 0);
        vm.assertEq(balances[1][1], 3 * BASE_PER_LOT);
    }

    function test_settings() public view {
        vm.assertEq(vault.quoteToken(), address(usdc));
        vm.assertEq(vault.feeAccount(), fees);
        vm.assertEq(vault.treasuryAccount(), TREASURY);
        vm.assertEq(vault.insuranceAccount(), INSURANCE);
        vm.assertEq(vault.cosigner(), vm.addr(COSIGNER_KEY));
        vm.assertEq(vault.index(), 1e18);
        bytes32 typeHash =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        vm.assertEq(
            vault.domainSeparator(),
            keccak256(abi.encode(typeHash, keccak256("HOOATS"), keccak256("1"), block.chainid, address(vault)))
        );
    }
}
