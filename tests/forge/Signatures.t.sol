// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Authorization} from "../../contracts/interfaces/Types.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {Signatures} from "../../contracts/libraries/Signatures.sol";
import {Fixture} from "./Fixture.sol";

/// @title Both forms of a signature recover the signer, and nothing else recovers anybody else
contract SignaturesTest is Fixture {
    function sign(uint256 key, bytes32 digest) internal pure override returns (bytes memory) {
        return walletSign(key, digest);
    }

    function recover(bytes32 digest, bytes calldata signature) external view returns (address) {
        return Signatures.recover(digest, signature);
    }

    function testFuzz_both_forms_recover_the_signer(uint256 key, bytes32 digest) public view {
        key = bound(key, 1, CURVE_ORDER - 1);
        bytes memory signature = sign(key, digest);
        vm.assertEq(this.recover(digest, signature), vm.addr(key));
        vm.assertEq(this.recover(digest, compact(signature)), vm.addr(key));
    }

    /// @dev What the other tests sign with, since they trust it: low, and recovered as any other.
    function testFuzz_the_quick_signature_recovers_the_signer(uint256 key, bytes32 digest) public view {
        key = bound(key, 1, CURVE_ORDER - 1);
        bytes memory signature = Fixture.sign(key, digest);
        vm.assertEq(this.recover(digest, signature), vm.addr(key));
        vm.assertEq(this.recover(digest, compact(signature)), vm.addr(key));
        vm.assertEq(this.recover(digest, mirrored(signature)), address(0));
    }

    function testFuzz_the_other_half_of_the_curve_recovers_nobody(uint256 key, bytes32 digest) public view {
        bytes memory other = mirrored(sign(bound(key, 1, CURVE_ORDER - 1), digest));
        vm.assertEq(this.recover(digest, other), address(0));
    }

    function testFuzz_no_other_v_recovers_anybody(uint256 key, bytes32 digest, uint8 v) public view {
        vm.assume(v != 27 && v != 28);
        (, bytes32 r, bytes32 s) = vm.sign(bound(key, 1, CURVE_ORDER - 1), digest);
        vm.assertEq(this.recover(digest, abi.encodePacked(r, s, v)), address(0));
    }

    function testFuzz_no_other_length_recovers_anybody(bytes32 digest, uint256 length) public view {
        length = bound(length, 0, 130);
        if (length == 64 || length == 65) length = 66;
        bytes memory signature = abi.encodePacked(sign(aliceKey, digest), sign(aliceKey, digest));
        assembly ("memory-safe") {
            mstore(signature, length)
        }
        vm.assertEq(this.recover(digest, signature), address(0));
    }

    function test_a_recovered_nobody_is_not_the_zero_address_that_is_expected() public pure {
        vm.assertFalse(Signatures.isBy(address(0), address(0)));
        vm.assertFalse(Signatures.isBy(address(1), address(2)));
        vm.assertTrue(Signatures.isBy(address(1), address(1)));
    }

    function test_countersignatures_of_64_bytes_lock() public {
        giveUnits(alice, 100);
        for (uint256 i; i < 4; ++i) {
            // Of four signatures, some have either parity.
            Authorization memory approval = approve(alice, address(usdc), 10, VaultMessages.PURPOSE_LOCK);
            approval.cosignature = compact(approval.cosignature);
            vault.lockCollateral(alice, 10, approval);
        }
        vm.assertEq(units(alice), 60);
    }
}
