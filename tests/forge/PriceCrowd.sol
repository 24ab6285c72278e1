// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";
import {IPriceSource} from "../../contracts/interfaces/IPriceSource.sol";
import {PriceFixture, SettableSource} from "./PriceFixture.sol";

/// @title Three honest posters, one that lies, a source that lies, and somebody who chooses when a price is accepted
/// @dev The quorum is five of five, so that the liars are two of every quorum. The honest stay between LOW and HIGH.
contract PriceCrowd is PriceFixture {
    uint256 public constant LOW = 50_000e6;
    uint256 public constant HIGH = 70_000e6;

    SettableSource internal source = new SettableSource();
    address internal liar = address(0xBAD);
    uint256 public acceptances;
    uint256 public moves;

    constructor() {
        super.setUp();
        addPoster(liar);
        oracle.configure(SYNTH, feed(5, source));
        post(ann, PRICE);
        post(ben, PRICE);
        post(cat, PRICE);
    }

    function honest(uint256 who, uint256 price) external {
        post([ann, ben, cat][who % 3], bound(price, LOW, HIGH));
        count();
    }

    function lie(uint256 price, bool isSource, uint256 at) external {
        // In half of all cases an extreme.
        price = at % 2 == 0 ? bound(price, 1, type(uint128).max) : (price % 2 == 0 ? 1 : type(uint128).max);
        if (isSource) source.set(price, uint40(block.timestamp));
        else post(liar, price);
        count();
    }

    function dodge(uint256 price, uint256 at) external {
        source.set(price, uint40(at));
    }

    function accept() external {
        oracle.accept(SYNTH);
        count();
    }

    function wait_(uint256 seconds_) external {
        vm.warp(block.timestamp + bound(seconds_, 0, MAX_AGE / 3));
    }

    function count() internal {
        if (acceptedAt() == block.timestamp) ++acceptances;
        if (priceNow() != 0 && priceNow() != PRICE) ++moves;
    }

    function check() external view {
        uint256 price = priceNow();
        vm.assertTrue(price == 0 || price >= LOW && price <= HIGH, "within what the honest said");
    }
}
