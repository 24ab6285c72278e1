// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {Market} from "../../contracts/interfaces/Types.sol";
import {Settlement} from "../../contracts/Settlement.sol";
import {Fixture} from "./Fixture.sol";
import {FeeMath} from "../../contracts/libraries/FeeMath.sol";

/// @title The market table, the constants and the arithmetic of Settlement
contract SettlementMarketTest is Fixture {
    function test_listMarket() public {
        uint64 sequence = vault.sequence();
        vm.expectEmit(address(settlement));
        emit ISettlement.MarketListed(sequence + 1, 7, address(btc), 1e12, 3, 18, 6, "BTC2-USDC");
        settlement.listMarket(7, address(btc), 1e12, 3, "BTC2-USDC");

        Market memory market = settlement.marketOf(7);
        vm.assertEq(market.baseToken, address(btc));
        vm.assertEq(market.baseAtomsPerLot, 1e12);
        vm.assertEq(market.quoteAtomsPerTickLot, 3);
        vm.assertEq(vault.sequence(), sequence + 1);
    }

    function test_listMarket_once_and_sane_and_by_the_lister() public {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.MarketExists.selector, BTC_USDC));
        settlement.listMarket(BTC_USDC, address(btc), 1, 1, "");
        bytes memory malformed = abi.encodeWithSelector(ISettlement.MalformedMarket.selector, 2);
        vm.expectRevert(malformed);
        settlement.listMarket(2, address(0), 1, 1, "");
        vm.expectRevert(malformed);
        settlement.listMarket(2, address(usdc), 1, 1, "");
        vm.expectRevert(malformed);
        settlement.listMarket(2, address(btc), 0, 1, "");
        vm.expectRevert(malformed);
        settlement.listMarket(2, address(btc), 1, 0, "");
        vm.expectRevert(malformed);
        settlement.listMarket(2, address(btc), 1, 1, "A-SYMBOL-OF-THIRTY-TWO-BYTES-USD");
        vm.prank(alice);
        vm.expectRevert();
        settlement.listMarket(2, address(btc), 1, 1, "");
    }

    function test_constants() public view {
        vm.assertEq(address(settlement.VAULT()), address(vault));
        vm.assertEq(settlement.QUOTE_TOKEN(), address(usdc));
        vm.assertEq(settlement.FEE_ACCOUNT(), fees);
        vm.assertEq(settlement.MAX_FILLS(), 100);
        vm.assertEq(settlement.lastFill(), 0);
    }

    function test_domainSeparator() public {
        bytes32 typeHash =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 expected =
            keccak256(abi.encode(typeHash, keccak256("HOOATS"), keccak256("1"), block.chainid, address(settlement)));
        vm.assertEq(settlement.domainSeparator(), expected);
        vm.chainId(999);
        vm.assertTrue(settlement.domainSeparator() != expected);
        Settlement other = new Settlement(address(this), address(vault), address(ammFactory));
        vm.assertTrue(settlement.domainSeparator() != other.domainSeparator());
    }

    function testFuzz_feeUp_is_the_ceiling(uint256 notional, int32 ppm) public view {
        notional = bound(notional, 0, 2 ** 200);
        int256 fee = FeeMath.feeUp(notional, ppm);
        // fee - 1 < notional * ppm / 10^6 <= fee
        int256 exact = int256(notional) * ppm;
        vm.assertGe(fee * 1_000_000, exact);
        vm.assertGe(exact, (fee - 1) * 1_000_000 + 1);
    }

    function testFuzz_feeUp_never_costs_the_venue(uint256 notional, int32 left, int32 right) public view {
        notional = bound(notional, 0, 2 ** 200);
        if (int256(left) + right < 0) {
            right = left == type(int32).min ? type(int32).max : -left;
            left = left == type(int32).min ? -right : left;
        }
        vm.assertGe(FeeMath.feeUp(notional, left) + FeeMath.feeUp(notional, right), 0);
    }
}
