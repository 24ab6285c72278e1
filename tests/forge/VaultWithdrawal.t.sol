// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Authorization, EXIT_DELAY, Withdrawal} from "../../contracts/interfaces/Types.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {Fixture} from "./Fixture.sol";

/// @title Ways out: by a matured request, and at once with the countersignature
contract VaultWithdrawalTest is Fixture {
    uint40 internal constant MATURES = uint40(START + EXIT_DELAY);

    function setUp() public override {
        super.setUp();
        giveUnits(alice, 1_000);
        giveLots(alice, 10);
    }

    function requestAll() internal {
        request(alice, address(usdc), 1_000);
    }

    /* REQUESTS */

    function test_requestWithdrawal() public {
        vm.expectEmit(address(vault));
        emit IVault.WithdrawalRequested(vault.sequence() + 1, alice, address(usdc), 700, bob, MATURES);
        vm.prank(alice);
        vault.requestWithdrawal(address(usdc), 700, bob);

        IVault.Request memory open = vault.requestOf(alice, address(usdc));
        vm.assertEq(open.amount, 700);
        vm.assertEq(open.maturesAt, MATURES);
        vm.assertEq(open.destination, bob);
        vm.assertEq(units(alice), 1_000);
    }

    function test_requestWithdrawal_refuses() public {
        vm.startPrank(alice);
        vm.expectRevert(IVault.ZeroAmount.selector);
        vault.requestWithdrawal(address(usdc), 0, alice);
        vm.expectRevert(IVault.ZeroAddress.selector);
        vault.requestWithdrawal(address(usdc), 1, address(0));
        vm.expectRevert(abi.encodeWithSelector(IVault.UnknownToken.selector, address(cxpt)));
        vault.requestWithdrawal(address(cxpt), 1, alice);
        vault.requestWithdrawal(address(usdc), 1, alice);
        vm.expectRevert(IVault.RequestPending.selector);
        vault.requestWithdrawal(address(usdc), 1, alice);
        // One for each token.
        vault.requestWithdrawal(address(btc), 1, alice);
        vm.stopPrank();
    }

    function test_request_is_debitable_until_it_matures() public {
        request(alice, address(usdc), 700);
        vm.warp(MATURES - 1);
        vm.assertEq(vault.debitable(alice, address(usdc)), 1_000);
        vm.warp(MATURES);
        vm.assertEq(vault.debitable(alice, address(usdc)), 300);
        vm.assertEq(units(alice), 1_000);
    }

    function test_cancelWithdrawalRequest() public {
        vm.prank(alice);
        vm.expectRevert(IVault.NoRequest.selector);
        vault.cancelWithdrawalRequest(address(usdc));

        requestAll();
        vm.warp(MATURES);
        vm.assertEq(vault.debitable(alice, address(usdc)), 0);
        vm.expectEmit(address(vault));
        emit IVault.WithdrawalRequestCancelled(vault.sequence() + 1, alice, address(usdc));
        vm.prank(alice);
        vault.cancelWithdrawalRequest(address(usdc));
        vm.assertEq(vault.debitable(alice, address(usdc)), 1_000);
        vm.assertEq(vault.requestOf(alice, address(usdc)).destination, address(0));
    }

    function test_a_request_cannot_be_made_to_mature_earlier() public {
        requestAll();
        vm.warp(START + 10 minutes);
        vm.startPrank(alice);
        vault.cancelWithdrawalRequest(address(usdc));
        vault.requestWithdrawal(address(usdc), 1_000, alice);
        vm.stopPrank();
        vm.warp(MATURES);
        vm.expectRevert(abi.encodeWithSelector(IVault.RequestNotMatured.selector, START + 10 minutes + EXIT_DELAY));
        vault.completeWithdrawal(alice, address(usdc));
    }

    /* WITHDRAW */

    function test_withdraw_in_parts() public {
        vm.prank(alice);
        vault.requestWithdrawal(address(usdc), 700, bob);
        vm.warp(MATURES);
        vm.expectEmit(address(vault));
        emit IVault.Withdrawn(vault.sequence() + 1, alice, address(usdc), 300, 700, bob, false, 0, 400);
        vm.prank(alice);
        vault.withdraw(300, false);
        vm.expectEmit(address(vault));
        emit IVault.Withdrawn(vault.sequence() + 1, alice, address(usdc), 400, 300, bob, false, 0, 0);
        vm.prank(alice);
        vault.withdraw(400, false);

        vm.assertEq(usdc.balanceOf(bob), 700);
        vm.assertEq(vault.totalsOf(address(usdc)).withdrawals, 700);
        vm.prank(alice);
        vm.expectRevert(IVault.NoRequest.selector);
        vault.withdraw(1, false);
    }

    function test_withdraw_refuses() public {
        vm.startPrank(alice);
        vm.expectRevert(IVault.NoRequest.selector);
        vault.withdraw(1, false);
        vault.requestWithdrawal(address(usdc), 5_000, alice);
        vm.expectRevert(abi.encodeWithSelector(IVault.RequestNotMatured.selector, MATURES));
        vault.withdraw(1, false);
        vm.warp(MATURES);
        vm.expectRevert(IVault.ZeroAmount.selector);
        vault.withdraw(0, false);
        vm.expectRevert(abi.encodeWithSelector(IVault.RequestExceeded.selector, 5_001, 5_000));
        vault.withdraw(5_001, false);
        vm.expectRevert(abi.encodeWithSelector(IVault.InsufficientBalance.selector, alice, address(usdc), 1_001, 1_000));
        vault.withdraw(1_001, false);
        vm.stopPrank();
    }

    function test_withdraw_as_cxpt() public {
        vm.prank(alice);
        vault.requestWithdrawal(address(usdc), 700, bob);
        vm.warp(MATURES);
        vm.expectEmit(address(vault));
        emit IVault.Withdrawn(vault.sequence() + 1, alice, address(usdc), 300, 700, bob, true, 0, 400);
        vm.prank(alice);
        vault.withdraw(300, true);

        vm.assertEq(cxpt.balanceOf(bob), 300 * 10 ** 12);
        vm.assertEq(units(TREASURY), 300);
        vm.assertEq(usdc.balanceOf(address(vault)), 1_000);
        vm.assertEq(vault.totalsOf(address(usdc)).withdrawals, 0);
    }

    /* COMPLETE */

    function test_completeWithdrawal_by_anyone_without_any_operator() public {
        vm.prank(alice);
        vault.requestWithdrawal(address(usdc), 700, bob);
        // Every key of the operator is lost.
        vault.revokeRole(vault.SETTLEMENT_ROLE(), address(settlement));
        vault.revokeRole(vault.CORE_ROLE(), address(this));
        vault.renounceRole(vault.DEFAULT_ADMIN_ROLE(), address(this));

        vm.expectRevert(abi.encodeWithSelector(IVault.RequestNotMatured.selector, MATURES));
        vault.completeWithdrawal(alice, address(usdc));
        vm.warp(MATURES);
        vm.expectEmit(address(vault));
        emit IVault.Withdrawn(vault.sequence() + 1, alice, address(usdc), 700, 300, bob, false, 0, 0);
        vm.prank(carol);
        vault.completeWithdrawal(alice, address(usdc));
        vm.assertEq(usdc.balanceOf(bob), 700);
    }

    function test_completeWithdrawal_pays_what_is_there_and_the_rest_stays_open() public {
        request(alice, address(usdc), type(uint128).max);
        request(alice, address(btc), uint128(4 * BASE_PER_LOT));
        vm.warp(MATURES);
        uint256 rest = type(uint128).max - 1_000;
        vm.expectEmit(address(vault));
        emit IVault.Withdrawn(vault.sequence() + 1, alice, address(usdc), 1_000, 0, alice, false, 0, rest);
        vault.completeWithdrawal(alice, address(usdc));
        vault.completeWithdrawal(alice, address(btc));
        vm.assertEq(usdc.balanceOf(alice), 1_000);
        vm.assertEq(btc.balanceOf(alice), 4 * BASE_PER_LOT);
        vm.assertEq(lotsOf(alice), 6);
        vm.expectRevert(IVault.NoRequest.selector);
        vault.completeWithdrawal(alice, address(btc));

        // Open and matured: what comes next is out of settlement's reach, and anyone may pay it out.
        vm.assertEq(vault.requestOf(alice, address(usdc)).amount, rest);
        vm.assertEq(vault.requestOf(alice, address(usdc)).maturesAt, MATURES);
        giveUnits(alice, 70);
        vm.assertEq(vault.debitable(alice, address(usdc)), 0);
        vault.completeWithdrawal(alice, address(usdc));
        vm.assertEq(usdc.balanceOf(alice), 1_070);
        vm.prank(alice);
        vault.cancelWithdrawalRequest(address(usdc));
        giveUnits(alice, 5);
        vm.assertEq(vault.debitable(alice, address(usdc)), 5);
    }

    function testFuzz_completions_pay_the_request_and_no_more(uint88 asked, uint88[4] memory parts) public {
        asked = uint88(bound(asked, 1, type(uint88).max));
        vm.prank(bob);
        vault.requestWithdrawal(address(usdc), asked, carol);
        vm.warp(MATURES);
        uint256 came;
        for (uint256 i; i < 4; ++i) {
            uint256 part = bound(parts[i], 1, type(uint88).max / 8);
            giveUnits(bob, part);
            came += part;
            uint256 paid = came < asked ? came : asked;
            if (usdc.balanceOf(carol) < asked) vault.completeWithdrawal(bob, address(usdc));
            vm.assertEq(usdc.balanceOf(carol), paid);
            vm.assertEq(units(bob), came - paid);
            vm.assertEq(vault.requestOf(bob, address(usdc)).amount, asked - paid);
        }
    }

    /* INTERNAL REQUESTS */

    function test_internal_request_is_for_locking_only() public {
        vm.prank(alice);
        vault.requestWithdrawal(address(usdc), 700, address(vault));
        vm.assertEq(vault.requestOf(alice, address(usdc)).destination, address(vault));
        vm.warp(MATURES);
        vm.assertEq(vault.debitable(alice, address(usdc)), 300);
        bytes4 internal_ = IVault.InternalDestination.selector;
        vm.prank(carol);
        vm.expectRevert(internal_);
        vault.completeWithdrawal(alice, address(usdc));
        vm.startPrank(alice);
        vm.expectRevert(internal_);
        vault.withdraw(1, false);
        vm.expectRevert(internal_);
        vault.withdraw(1, true);
        vm.stopPrank();

        vm.expectEmit(address(vault));
        emit IVault.CollateralLocked(vault.sequence() + 1, alice, 600, 400, 0, 100);
        vault.lockCollateral(alice, 600, drawOnRequest());
        vm.expectRevert(internal_);
        vault.completeWithdrawal(alice, address(usdc));
        vault.lockCollateral(alice, 100, drawOnRequest());
        vm.assertEq(vault.requestOf(alice, address(usdc)).destination, address(0));
        // The next one goes to the account itself again.
        requestAll();
        vm.assertEq(vault.requestOf(alice, address(usdc)).destination, alice);
    }

    function test_internal_request_is_for_burning_only() public {
        vm.prank(alice);
        vault.requestWithdrawal(address(btc), uint128(4 * BASE_PER_LOT), address(vault));
        vm.warp(MATURES);
        vm.expectRevert(IVault.InternalDestination.selector);
        vault.completeWithdrawal(alice, address(btc));
        vault.burnSynth(address(btc), alice, 4 * BASE_PER_LOT, drawOnRequest());
        vm.assertEq(lotsOf(alice), 6);
    }

    function test_withdrawApproved_to_the_vault_is_refused() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 1, 1);
        withdrawal.destination = address(vault);
        refused(withdrawal, abi.encodeWithSelector(IVault.InternalDestination.selector));
        withdrawal.asCxpt = true;
        refused(withdrawal, abi.encodeWithSelector(IVault.InternalDestination.selector));
    }

    function test_completeWithdrawal_of_nothing_leaves_the_request_open() public {
        request(bob, address(usdc), 100);
        vm.warp(MATURES);
        vm.expectRevert(IVault.ZeroAmount.selector);
        vault.completeWithdrawal(bob, address(usdc));
        giveUnits(bob, 50);
        vault.completeWithdrawal(bob, address(usdc));
        vm.assertEq(usdc.balanceOf(bob), 50);
    }

    function testFuzz_everyone_gets_out(uint128[5] memory amounts, uint128[5] memory requests) public {
        uint256 held = 1_000;
        for (uint256 i; i < 5; ++i) {
            address account = address(uint160(0x1000 + i));
            amounts[i] = uint128(bound(amounts[i], 1, 2 ** 85));
            requests[i] = uint128(bound(requests[i], amounts[i], type(uint128).max));
            giveUnits(account, amounts[i]);
            request(account, address(usdc), requests[i]);
            held += amounts[i];
        }
        vm.assertEq(usdc.balanceOf(address(vault)), held);
        vm.warp(MATURES);
        for (uint256 i; i < 5; ++i) {
            vault.completeWithdrawal(address(uint160(0x1000 + i)), address(usdc));
            vm.assertEq(usdc.balanceOf(address(uint160(0x1000 + i))), amounts[i]);
        }
        vm.assertEq(usdc.balanceOf(address(vault)), 1_000);
    }

    /* WITHDRAW APPROVED */

    function testFuzz_signatures_of_64_bytes(uint96 amount, bool isOwners, bool isCosigners) public {
        amount = uint96(bound(amount, 1, 1_000));
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), amount, 77);
        Authorization memory approval = approveWithdrawal(withdrawal);
        bytes memory signature = signWithdrawal(withdrawal);
        bytes memory other = compact(signature);
        if (isCosigners) approval.cosignature = compact(approval.cosignature);
        vault.withdrawApproved(withdrawal, isOwners ? other : signature, approval);
        vm.assertEq(usdc.balanceOf(alice), amount);
        // The other form of a signature that was used is no second use.
        approval = approveWithdrawal(withdrawal);
        vm.expectRevert(abi.encodeWithSelector(IVault.NonceUsed.selector, 77));
        vault.withdrawApproved(withdrawal, isOwners ? signature : other, approval);
    }

    function testFuzz_malformed_signatures_are_refused(uint256 kind, uint256 seed) public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 1, 77);
        Authorization memory approval = approveWithdrawal(withdrawal);
        bytes32 separator = vault.domainSeparator();
        bytes memory signature = walletSign(aliceKey, digestOf(separator, purposeOf(withdrawal)));
        signature = malformed(signature, kind % 6, seed);
        vm.expectPartialRevert(IVault.InvalidSigner.selector);
        vault.withdrawApproved(withdrawal, signature, approval);

        signature = signWithdrawal(withdrawal);
        bytes32 hash = VaultMessages.approvalHash(
            alice, address(usdc), 1, purposeOf(withdrawal), approval.nonce, approval.deadline
        );
        approval.cosignature = malformed(walletSign(COSIGNER_KEY, digestOf(separator, hash)), kind % 6, seed);
        vm.expectPartialRevert(IVault.InvalidSigner.selector);
        vault.withdrawApproved(withdrawal, signature, approval);
    }

    function malformed(bytes memory signature, uint256 kind, uint256 seed) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = split(signature);
        bytes32 high = bytes32(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141 - uint256(s));
        if (kind == 0) return abi.encodePacked(r, high, 55 - v);
        if (kind == 1) return abi.encodePacked(r, s, 55 - v);
        if (kind == 2) return abi.encodePacked(r, s, uint8(bound(seed, 29, 281) % 256));
        if (kind == 3) return abi.encodePacked(r, uint256(s) | (uint256(28 - v) << 255));
        if (kind == 4) return abi.encodePacked(signature, new bytes(1 + seed % 40));
        bytes memory cut = new bytes(1 + seed % 63);
        for (uint256 i; i < cut.length; ++i) {
            cut[i] = signature[i];
        }
        return cut;
    }

    function test_withdrawApproved_relayed() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 400, 77);
        withdrawal.destination = bob;
        Authorization memory approval = approveWithdrawal(withdrawal);
        bytes memory signature = signWithdrawal(withdrawal);
        vm.expectEmit(address(vault));
        emit IVault.Withdrawn(vault.sequence() + 1, alice, address(usdc), 400, 600, bob, false, approval.nonce, 0);
        vm.prank(carol);
        vault.withdrawApproved(withdrawal, signature, approval);
        vm.assertEq(usdc.balanceOf(bob), 400);
    }

    function test_withdrawApproved_by_the_owner_needs_no_signature_of_hers() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 400, 77);
        Authorization memory approval = approveWithdrawal(withdrawal);
        vm.prank(carol);
        vm.expectRevert(abi.encodeWithSelector(IVault.InvalidSigner.selector, address(0)));
        vault.withdrawApproved(withdrawal, "", approval);
        vm.prank(alice);
        vault.withdrawApproved(withdrawal, "", approval);
        vm.assertEq(usdc.balanceOf(alice), 400);
    }

    function test_withdrawApproved_of_a_synth() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(btc), 3 * BASE_PER_LOT, 1);
        vault.withdrawApproved(withdrawal, signWithdrawal(withdrawal), approveWithdrawal(withdrawal));
        vm.assertEq(btc.balanceOf(alice), 3 * BASE_PER_LOT);
        vm.assertEq(lotsOf(alice), 7);
    }

    function test_withdrawApproved_as_cxpt() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 400, 1);
        withdrawal.asCxpt = true;
        vault.withdrawApproved(withdrawal, signWithdrawal(withdrawal), approveWithdrawal(withdrawal));
        vm.assertEq(cxpt.balanceOf(alice), 400 * 10 ** 12);
        vm.assertEq(units(TREASURY), 400);

        withdrawal = withdrawalOf(alice, address(btc), 1, 2);
        withdrawal.asCxpt = true;
        refused(withdrawal, abi.encodeWithSelector(IVault.NotConvertible.selector, address(btc)));
    }

    function refused(Withdrawal memory withdrawal, bytes memory reason) internal {
        Authorization memory approval = approveWithdrawal(withdrawal);
        bytes memory signature = signWithdrawal(withdrawal);
        vm.expectRevert(reason);
        vault.withdrawApproved(withdrawal, signature, approval);
    }

    function test_withdrawApproved_refuses_what_is_not_there() public {
        refused(
            withdrawalOf(alice, address(usdc), 1_001, 1),
            abi.encodeWithSelector(IVault.InsufficientBalance.selector, alice, address(usdc), 1_001, 1_000)
        );
        refused(withdrawalOf(alice, address(usdc), 0, 1), abi.encodeWithSelector(IVault.ZeroAmount.selector));
        refused(
            withdrawalOf(alice, address(cxpt), 1, 1),
            abi.encodeWithSelector(IVault.UnknownToken.selector, address(cxpt))
        );
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 1, 1);
        withdrawal.destination = address(0);
        refused(withdrawal, abi.encodeWithSelector(IVault.ZeroAddress.selector));
    }

    function test_withdrawApproved_leaves_a_matured_request_alone() public {
        request(alice, address(usdc), 700);
        vm.warp(MATURES);
        refused(
            withdrawalOf(alice, address(usdc), 301, 1),
            abi.encodeWithSelector(IVault.InsufficientBalance.selector, alice, address(usdc), 301, 300)
        );
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 300, 1);
        Authorization memory approval = approveWithdrawal(withdrawal);
        bytes memory signature = signWithdrawal(withdrawal);
        vm.expectEmit(address(vault));
        emit IVault.Withdrawn(vault.sequence() + 1, alice, address(usdc), 300, 700, alice, false, approval.nonce, 700);
        vault.withdrawApproved(withdrawal, signature, approval);
    }

    function test_withdrawApproved_once() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 100, 5);
        Authorization memory approval = approveWithdrawal(withdrawal);
        bytes memory signature = signWithdrawal(withdrawal);
        vault.withdrawApproved(withdrawal, signature, approval);
        vm.expectRevert(abi.encodeWithSelector(IVault.NonceUsed.selector, 5));
        vault.withdrawApproved(withdrawal, signature, approval);
        // Another countersignature does not revive it, also for the owner herself.
        approval = approveWithdrawal(withdrawal);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IVault.NonceUsed.selector, 5));
        vault.withdrawApproved(withdrawal, "", approval);
        // Nor is a countersignature worth anything without a nonce.
        withdrawal = withdrawalOf(alice, address(usdc), 100, 6);
        approval = approveBy(COSIGNER_KEY, alice, address(usdc), 100, purposeOf(withdrawal), 0, START + 1 hours);
        signature = signWithdrawal(withdrawal);
        vm.expectRevert(abi.encodeWithSelector(IVault.NonceUsed.selector, 0));
        vault.withdrawApproved(withdrawal, signature, approval);
    }

    /// @dev Whoever sends, the owner too: once executed, no countersignature revives a message.
    function testFuzz_no_second_countersignature_revives_a_message(uint256 nonce, uint256 other, bool isByOwner)
        public
    {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 100, nonce);
        bytes memory signature = signWithdrawal(withdrawal);
        vault.withdrawApproved(withdrawal, signature, approveWithdrawal(withdrawal));
        if (other == 0) other = 1;
        uint256 deadline = withdrawal.deadline;
        Authorization memory second =
            approveBy(COSIGNER_KEY, alice, address(usdc), 100, purposeOf(withdrawal), other, deadline);
        vm.prank(isByOwner ? alice : carol);
        vm.expectRevert(abi.encodeWithSelector(IVault.NonceUsed.selector, nonce));
        vault.withdrawApproved(withdrawal, isByOwner ? bytes("") : signature, second);
        vm.assertEq(usdc.balanceOf(alice), 100);
        // Nor does another message with the same nonce move anything.
        withdrawal.deadline += 1;
        second = approveWithdrawal(withdrawal);
        signature = signWithdrawal(withdrawal);
        vm.prank(isByOwner ? alice : carol);
        vm.expectRevert(abi.encodeWithSelector(IVault.NonceUsed.selector, nonce));
        vault.withdrawApproved(withdrawal, isByOwner ? bytes("") : signature, second);
    }

    /// @dev Used or not: a countersignature is for one message, to the last field, also if its owner signs another.
    function testFuzz_a_countersignature_is_for_one_message(uint256 field, uint256 nonce, bool isUsed, bool isByOwner)
        public
    {
        giveUnits(bob, 1_000);
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 100, nonce);
        Authorization memory approval = approveWithdrawal(withdrawal);
        if (isUsed) vault.withdrawApproved(withdrawal, signWithdrawal(withdrawal), approval);
        uint256 held = usdc.balanceOf(address(vault));
        field = field % 7;
        if (field == 0) withdrawal.account = bob;
        else if (field == 1) withdrawal.token = address(btc);
        else if (field == 2) withdrawal.amount += 1;
        else if (field == 3) withdrawal.destination = bob;
        else if (field == 4) withdrawal.asCxpt = true;
        else if (field == 5) withdrawal.nonce ^= 1;
        else withdrawal.deadline += 1;
        bytes memory signature = signWithdrawal(withdrawal);
        vm.prank(isByOwner ? withdrawal.account : carol);
        vm.expectPartialRevert(IVault.InvalidSigner.selector);
        vault.withdrawApproved(withdrawal, isByOwner ? bytes("") : signature, approval);
        vm.assertEq(usdc.balanceOf(address(vault)), held);
        vm.assertEq(units(alice), isUsed ? 900 : 1_000);
    }

    /// @dev The countersignature of a withdrawal locks and burns nothing, and that of a lock withdraws nothing.
    function test_a_countersignature_is_for_one_purpose() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 100, 5);
        Authorization memory approval = approveWithdrawal(withdrawal);
        vm.expectPartialRevert(IVault.InvalidSigner.selector);
        vault.lockCollateral(alice, 100, approval);
        approval = approve(alice, address(usdc), 100, VaultMessages.PURPOSE_LOCK);
        vm.prank(alice);
        vm.expectPartialRevert(IVault.InvalidSigner.selector);
        vault.withdrawApproved(withdrawal, "", approval);
        vault.lockCollateral(alice, 100, approval);
        vm.expectRevert(abi.encodeWithSelector(IVault.NonceUsed.selector, approval.nonce));
        vault.lockCollateral(alice, 100, approval);
    }

    /// @dev Words with dirty high bits would hash to something else than what the fields say.
    function test_withdrawApproved_refuses_dirty_words() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 100, 5);
        bytes memory call = abi.encodeCall(
            vault.withdrawApproved, (withdrawal, signWithdrawal(withdrawal), approveWithdrawal(withdrawal))
        );
        // The highest bytes of the account, the token and the destination, and a flag that is neither 0 nor 1.
        uint256[4] memory places = [uint256(4), 36, 100, 163];
        for (uint256 i; i < 4; ++i) {
            bytes1 kept = call[places[i]];
            call[places[i]] = 0x02;
            (bool isDone, bytes memory reason) = address(vault).call(call);
            vm.assertFalse(isDone);
            vm.assertEq(reason.length, 0);
            call[places[i]] = kept;
        }
        (bool isGood,) = address(vault).call(call);
        vm.assertTrue(isGood);
    }

    function test_withdrawApproved_deadlines() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 100, 5);
        bytes memory signature = signWithdrawal(withdrawal);
        Authorization memory approval =
            approveBy(COSIGNER_KEY, alice, address(usdc), 100, purposeOf(withdrawal), 1, START + 2 hours);
        vm.warp(withdrawal.deadline);
        uint256 state = vm.snapshotState();
        vault.withdrawApproved(withdrawal, signature, approval);
        vm.revertToState(state);
        vm.warp(withdrawal.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.DeadlinePassed.selector, withdrawal.deadline));
        vault.withdrawApproved(withdrawal, signature, approval);
        withdrawal.deadline = START + 1 days;
        signature = signWithdrawal(withdrawal);
        approval = approveBy(COSIGNER_KEY, alice, address(usdc), 100, purposeOf(withdrawal), 1, START + 2 hours);
        vm.warp(START + 2 hours + 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.DeadlinePassed.selector, START + 2 hours));
        vault.withdrawApproved(withdrawal, signature, approval);
        vm.warp(START + 2 hours);
        vault.withdrawApproved(withdrawal, signature, approval);
    }

    function test_withdrawApproved_needs_both_signatures_over_all_of_it() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 100, 5);
        bytes memory signature = signWithdrawal(withdrawal);
        Authorization memory approval = approveBy(bobKey, alice, address(usdc), 100, purposeOf(withdrawal), 1, START);
        vm.expectRevert(abi.encodeWithSelector(IVault.InvalidSigner.selector, bob));
        vault.withdrawApproved(withdrawal, signature, approval);

        approval = approveWithdrawal(withdrawal);
        bytes memory cosignature = approval.cosignature;
        approval.cosignature = "";
        vm.expectRevert(abi.encodeWithSelector(IVault.InvalidSigner.selector, address(0)));
        vault.withdrawApproved(withdrawal, signature, approval);
        approval.cosignature = cosignature;
        approval.nonce += 1;
        vm.expectPartialRevert(IVault.InvalidSigner.selector);
        vault.withdrawApproved(withdrawal, signature, approval);
        approval.nonce -= 1;

        Withdrawal memory changed = withdrawal;
        (changed.amount, withdrawal) = (101, withdrawalOf(alice, address(usdc), 100, 5));
        vm.expectPartialRevert(IVault.InvalidSigner.selector);
        vault.withdrawApproved(changed, signature, approval);
        (changed.amount, changed.destination) = (100, bob);
        vm.expectPartialRevert(IVault.InvalidSigner.selector);
        vault.withdrawApproved(changed, signature, approval);
        (changed.destination, changed.asCxpt) = (alice, true);
        vm.expectPartialRevert(IVault.InvalidSigner.selector);
        vault.withdrawApproved(changed, signature, approval);
        // The owner herself cannot change what was countersigned.
        vm.prank(alice);
        vm.expectPartialRevert(IVault.InvalidSigner.selector);
        vault.withdrawApproved(changed, "", approval);
        vault.withdrawApproved(withdrawal, signature, approval);
    }
}
