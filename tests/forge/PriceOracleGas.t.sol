// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {PriceFixture} from "./PriceFixture.sol";

/// @title What a post costs with three posters: what the price keeper pays, day after day
/// @dev Every call is a transaction of its own, as on chain. forge-config: default.isolate = true
contract PriceOracleGasTest is PriceFixture {
    /// @dev forge prints it with -vv.
    event log_named_uint(string name, uint256 value); // solhint-disable-line event-name-capwords

    function postMany(uint256 count) internal returns (uint256 used) {
        (address[] memory synths, uint256[] memory prices) = (new address[](count), new uint256[](count));
        for (uint160 i; i < count; ++i) {
            (synths[i], prices[i]) = (address(0x5000 + i), PRICE);
            oracle.configure(synths[i], feed(2));
        }
        for (uint256 round; round < 3; ++round) {
            for (uint160 poster; poster < 3; ++poster) {
                vm.prank(address(0xA + poster));
                oracle.post(synths, prices);
            }
            vm.warp(block.timestamp + 60);
        }
        prices[0] = PRICE + 1e6;
        vm.prank(ann);
        oracle.post(synths, prices);
        used = vm.lastCallGas().gasTotalUsed;
    }

    function test_gas_post_of_one_synth() public {
        uint256 used = postMany(1);
        emit log_named_uint("post 1", used);
        vm.assertLe(used, 70_000);
    }

    function test_gas_post_of_ten_synths() public {
        uint256 used = postMany(10);
        emit log_named_uint("post 10", used);
        vm.assertLe(used, 350_000);
    }
}
