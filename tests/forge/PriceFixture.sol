// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";
import {IPriceSource} from "../../contracts/interfaces/IPriceSource.sol";
import {PriceOracle} from "../../contracts/PriceOracle.sol";
import {Test} from "./Test.sol";

/// @dev A source that says what it is told to say.
contract SettableSource is IPriceSource {
    uint256 public price;
    uint40 public at;

    function set(uint256 newPrice, uint40 newAt) external {
        (price, at) = (newPrice, newAt);
    }

    function read(address) external view returns (uint256, uint40) {
        return (price, at);
    }
}

/// @title An oracle with three posters and one feed; the test contract is admin and lister
abstract contract PriceFixture is Test {
    uint256 internal constant START = 1_800_000_000;
    address internal constant SYNTH = address(0x5117);
    uint32 internal constant MAX_AGE = 600;
    /// @dev 1 % a minute.
    uint32 internal constant SPEED = 10_000;
    uint256 internal constant PRICE = 60_000e6;

    PriceOracle internal oracle;
    address internal ann = address(0xA);
    address internal ben = address(0xB);
    address internal cat = address(0xC);

    function setUp() public virtual {
        vm.warp(START);
        oracle = new PriceOracle(address(this));
        oracle.grantRole(oracle.LISTER_ROLE(), address(this));
        addPoster(ann);
        addPoster(ben);
        addPoster(cat);
    }

    function addPoster(address poster) internal {
        oracle.grantRole(oracle.POSTER_ROLE(), poster);
    }

    function feed(uint8 quorum) internal pure returns (IPriceOracle.Feed memory) {
        return IPriceOracle.Feed(quorum, MAX_AGE, SPEED, new IPriceSource[](0));
    }

    function feed(uint8 quorum, IPriceSource source) internal pure returns (IPriceOracle.Feed memory made) {
        made = feed(quorum);
        made.sources = new IPriceSource[](1);
        made.sources[0] = source;
    }

    function post(address poster, uint256 price) internal {
        post(poster, SYNTH, price);
    }

    function post(address poster, address synth, uint256 price) internal {
        (address[] memory synths, uint256[] memory prices) = (new address[](1), new uint256[](1));
        (synths[0], prices[0]) = (synth, price);
        vm.prank(poster);
        oracle.post(synths, prices);
    }

    function priceNow() internal view returns (uint256 price) {
        (price,,,) = oracle.priceOf(SYNTH);
    }

    function acceptedAt() internal view returns (uint40 at) {
        (, at,,) = oracle.priceOf(SYNTH);
    }

    function resumedAt() internal view returns (uint40 at) {
        (,, at,) = oracle.priceOf(SYNTH);
    }
}
