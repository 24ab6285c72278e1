// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Authorization} from "../../contracts/interfaces/Types.sol";
import {Debtors} from "./Debtors.sol";

/// @title What a synth and a debt cost
/// @dev Every call is a transaction of its own, as on chain. forge-config: default.isolate = true
contract SynthIssuerGasTest is Debtors {
    /// @dev forge prints it with -vv.
    event log_named_uint(string name, uint256 value); // solhint-disable-line event-name-capwords

    /// @dev A wallet's, written out: a call of `walletSign` would be in the snapshot too.
    function sign(uint256 key, bytes32 digest) internal pure override returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function setUp() public override {
        super.setUp();
        open(bob, 4 * REQUIRED, 2 * ONE);
    }

    function record(string memory name, uint256 limit) internal {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        emit log_named_uint(name, used);
        vm.assertLe(used, limit);
    }

    function test_gas_createSynth() public {
        synthFactory.createSynth("1234567890123456789012345678901", "1234567890123456789012345678901");
        record("createSynth", 300_000);
        address longest = synthFactory.synthOf("1234567890123456789012345678901");
        vault.grantRole(vault.REGISTRAR_ROLE(), address(synthFactory));
        synthFactory.registerSynth(longest);
        record("registerSynth", 100_000);
    }

    function test_gas_open() public {
        Authorization memory approval = mayLock(alice, REQUIRED);
        vm.prank(alice);
        issuer.open(address(btc), REQUIRED, ONE, approval);
        record("open, first position", 350_000);
        approval = mayLock(alice, REQUIRED);
        vm.prank(alice);
        issuer.open(address(btc), REQUIRED, ONE, approval);
        record("open, more of it", 250_000);
    }

    function test_gas_close() public {
        open(alice, REQUIRED, ONE);
        Authorization memory approval = mayBurn(alice, ONE);
        vm.prank(alice);
        issuer.close(address(btc), REQUIRED, ONE, approval);
        record("close, all", 250_000);
    }

    function test_gas_liquidate() public {
        open(alice, REQUIRED, ONE);
        post(80_000e6);
        Authorization memory approval = mayBurn(bob, 0.5e18);
        vm.prank(bob);
        issuer.liquidate(alice, address(btc), 0.5e18, 0, approval);
        record("liquidate, a part", 250_000);
    }

    /// @dev What may not be repaid of what was countersigned is minted back.
    function test_gas_liquidate_with_change() public {
        open(alice, REQUIRED, ONE);
        post(80_000e6);
        Authorization memory approval = mayBurn(bob, ONE);
        vm.prank(bob);
        issuer.liquidate(alice, address(btc), ONE, 0, approval);
        record("liquidate, with change", 250_000);
    }

    function test_gas_absorb() public {
        open(alice, REQUIRED, ONE);
        post(100_000e6);
        issuer.absorb(alice, address(btc));
        record("absorb", 250_000);
    }

    function test_gas_redeem() public {
        open(alice, REQUIRED, ONE);
        shutDown();
        record("shutDown", 120_000);
        settlePositions([alice, bob, carol]);
        record("settlePositions, two", 250_000);
        Authorization memory approval = mayBurn(alice, ONE);
        vm.prank(alice);
        issuer.redeem(address(btc), ONE, approval);
        record("redeem", 250_000);
    }
}
