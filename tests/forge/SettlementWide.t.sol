// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Order} from "../../contracts/interfaces/Types.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {Fixture} from "./Fixture.sol";

/// @title A batch of many markets and accounts: its working memory is beyond what 16 bits count
contract SettlementWideTest is Fixture {
    uint256 internal constant MARKETS = 30;

    SynthERC20[] internal synths;

    function setUp() public override {
        super.setUp();
        for (uint256 i; i < MARKETS; ++i) {
            string memory symbol = string.concat("t", vm.toString(i));
            SynthERC20 synth = newSynth(symbol, symbol);
            vault.registerSynth(address(synth));
            settlement.listMarket(uint32(100 + i), address(synth), BASE_PER_LOT, QUOTE_PER_TICK_LOT, symbol);
            vault.mintSynth(address(synth), vm.addr(1000 + i), 10 * uint256(BASE_PER_LOT));
            giveUnits(vm.addr(2000 + i), 10_000);
            synths.push(synth);
        }
    }

    /// @dev Two fills of each maker, so that the second finds what the first left.
    function trade(uint256 i, uint48 sequence) internal {
        (address seller, address buyer) = (vm.addr(1000 + i), vm.addr(2000 + i));
        Order memory maker = sell(seller, 100, 6);
        Order memory taker = buy(buyer, 100, 6);
        (maker.market, taker.market) = (uint32(100 + i), uint32(100 + i));
        (maker.nonce, taker.nonce) = (nonceOf(1, sequence), nonceOf(1, sequence));
        (uint16 makerAt, uint16 takerAt) = (add(maker, 1000 + i), add(taker, 2000 + i));
        match_(makerAt, takerAt, 2);
        match_(makerAt, takerAt, uint64(1 + i % 3));
    }

    function test_a_batch_of_many_markets_settles_every_one_of_them() public {
        for (uint256 i; i < MARKETS; ++i) {
            trade(i, 7);
        }
        vm.assertEq(settle(), "");
        for (uint256 i; i < MARKETS; ++i) {
            uint256 lots = 3 + i % 3;
            vm.assertEq(vault.balanceOf(vm.addr(2000 + i), address(synths[i])), lots * BASE_PER_LOT);
            vm.assertEq(vault.balanceOf(vm.addr(1000 + i), address(synths[i])), (10 - lots) * BASE_PER_LOT);
            vm.assertEq(units(vm.addr(1000 + i)), lots * 100);
            vm.assertEq(units(vm.addr(2000 + i)), 10_000 - lots * 100);
            (uint48 sequence, uint64 filled) = settlement.slotOf(vm.addr(1000 + i), 1);
            vm.assertEq(sequence, 7);
            vm.assertEq(filled, lots);
        }
    }
}
