// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Authorization, EXIT_DELAY, Withdrawal} from "../../contracts/interfaces/Types.sol";
import {TestUSDC} from "../../contracts/mocks/TestUSDC.sol";
import {Fixture} from "./Fixture.sol";
import {newProxiedUsdc} from "./ProxiedUSDC.sol";

/// @title What the ways in and out cost
/// @dev Every call is a transaction of its own, as on chain: with its 21,000, its calldata and cold storage. The account
/// has been here before, and keeps some of everything. A relayed withdrawal has its signatures in the short form, in
/// which the relay keeper sends them. forge-config: default.isolate = true
contract VaultGasTest is Fixture {
    uint256 internal constant DEPOSIT_MOST = 62_000;
    uint256 internal constant WITHDRAWAL_MOST = 65_000;
    uint256 internal constant APPROVED_MOST = 80_000;
    /// @dev The long form of two signatures is 64 bytes of calldata more.
    uint256 internal constant APPROVED_LONG_MOST = 80_300;

    /// @dev forge prints it with -vv.
    event log_named_uint(string name, uint256 value); // solhint-disable-line event-name-capwords

    /// @dev A wallet's, written out: a call of `walletSign` would be in the snapshot too.
    function sign(uint256 key, bytes32 digest) internal pure override returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev What a call to the token costs more than a call to the plain one: nothing for the plain one.
    function surcharge() internal pure virtual returns (uint256) {
        return 0;
    }

    function setUp() public override {
        super.setUp();
        usdc.mint(alice, 10_000e6);
        vm.startPrank(alice);
        usdc.approve(address(vault), type(uint256).max);
        vault.deposit(5_000e6);
        vault.requestWithdrawal(address(usdc), 1, alice);
        vm.warp(START + EXIT_DELAY);
        vault.withdraw(1, false);
        vm.stopPrank();
        // One withdrawal before has opened the word of the nonces.
        approved(1, false);
    }

    function record(string memory name, uint256 most) internal {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        emit log_named_uint(name, used);
        vm.assertLe(used, most + surcharge());
    }

    function approved(uint256 nonce, bool isCompact) internal {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 100e6, nonce);
        Authorization memory approval = approveWithdrawal(withdrawal);
        bytes memory signature = signWithdrawal(withdrawal);
        if (isCompact) (approval.cosignature, signature) = (compact(approval.cosignature), compact(signature));
        vault.withdrawApproved(withdrawal, signature, approval);
    }

    function test_gas_deposit_again() public {
        vm.prank(alice);
        vault.deposit(100e6);
        record("deposit again", DEPOSIT_MOST);
    }

    function test_gas_matured_withdrawal_of_all_of_it() public {
        request(alice, address(usdc), 100e6);
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.prank(alice);
        vault.withdraw(100e6, false);
        record("matured withdrawal, all of the request", WITHDRAWAL_MOST);
    }

    function test_gas_matured_withdrawal_of_a_part() public {
        request(alice, address(usdc), 200e6);
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.prank(alice);
        vault.withdraw(100e6, false);
        record("matured withdrawal, a part of the request", WITHDRAWAL_MOST);
    }

    function test_gas_completed_withdrawal() public {
        request(alice, address(usdc), 100e6);
        vm.warp(block.timestamp + EXIT_DELAY);
        vault.completeWithdrawal(alice, address(usdc));
        record("matured withdrawal, completed by anyone", WITHDRAWAL_MOST);
    }

    function test_gas_approved_withdrawal() public {
        approved(2, true);
        record("approved withdrawal, sent by anyone", APPROVED_MOST);
    }

    function test_gas_approved_withdrawal_with_long_signatures() public {
        approved(2, false);
        record("approved withdrawal, both signatures of 65 bytes", APPROVED_LONG_MOST);
    }

    function test_gas_approved_withdrawal_by_the_owner() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 100e6, 2);
        Authorization memory approval = approveWithdrawal(withdrawal);
        vm.prank(alice);
        vault.withdrawApproved(withdrawal, "", approval);
        record("approved withdrawal, sent by the owner", APPROVED_MOST);
    }
}

/// @title The same with a token as Circle's is
/// @dev forge-config: default.isolate = true
contract VaultGasProxiedTest is VaultGasTest {
    /// @dev The proxy's two slots 4,200, its implementation 2,600, the pause 2,100, and the way through the proxy.
    function surcharge() internal pure override returns (uint256) {
        return 9_900;
    }

    function newUsdc() internal override returns (TestUSDC) {
        return newProxiedUsdc();
    }
}
