// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;
import {Order, SIDE_BUY, SIDE_SELL} from "../../contracts/interfaces/Types.sol";
import {Fixture} from "./Fixture.sol";

contract TmpTest is Fixture {
    uint48 internal sequence = 1_000_000;
    bytes internal one;
    uint256 internal constant N = 10;
    event G(string tag, uint256 left);

    function setUp() public override {
        super.setUp();
        giveUnits(fees, 1);
        giveUnits(bob, 10 ** 12);
        giveLots(bob, 10 ** 7);
        for (uint256 i; i < N; ++i) {
            giveUnits(vm.addr(0x7a000 + i), 10 ** 12);
            giveLots(vm.addr(0x7a000 + i), 10 ** 6);
        }
        for (uint16 level; level < 5; ++level) {
            add(resting(bob, SIDE_SELL, 65_000 + level, 100_000, nonceOf(level + 1, ++sequence)));
        }
        for (uint256 i; i < N; ++i) {
            Order memory order = immediate(vm.addr(0x7a000 + i), SIDE_BUY, 66_000, 1_234, ++sequence);
            match_(uint16(i % 5), add(order, 0x7a000 + i), 1_234, 2_500, 2_500);
        }
        one = pack(take());
    }

    function test_it() public {
        settlement.settle(one);
    }
}
