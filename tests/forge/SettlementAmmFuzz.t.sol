// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAmmPair} from "../../contracts/interfaces/IAmmPair.sol";
import {Order, SIDE_BUY, SIDE_SELL} from "../../contracts/interfaces/Types.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {Pool} from "./Pool.sol";

/// @title A batch ends as if one fill followed the other, and what the pools gave beyond their promises came last
/// @dev The expectation knows one balance per account and token; no netting, no rows, no order of writing.
contract SettlementAmmFuzzTest is Pool {
    struct Gift {
        address account;
        address token;
        uint256 amount;
    }

    mapping(address account => mapping(address token => uint256)) internal expected;
    bytes internal expectedRefusals;
    Gift[] internal gifts;
    bool[2] internal hasLeg;
    uint256 internal entropy;
    uint48 internal sequence;

    function draw(uint256 low, uint256 high) internal returns (uint256) {
        entropy = uint256(keccak256(abi.encode(entropy)));
        return low + entropy % (high - low + 1);
    }

    function drawAccount() internal returns (address) {
        return [alice, bob, carol, fees][draw(0, 3)];
    }

    function testFuzz_a_batch_with_legs_ends_as_if_fill_followed_fill(uint256 seed) public {
        entropy = seed;
        endow();
        uint256 count = draw(1, 6);
        for (uint16 i; i < count; ++i) {
            uint8 reason = draw(0, 1) == 0 ? planFill() : planLeg(draw(0, 1));
            if (reason != 0) expectedRefusals = abi.encodePacked(expectedRefusals, i, reason);
        }

        vm.assertEq(settle(), expectedRefusals);
        for (uint256 i; i < gifts.length; ++i) {
            expected[gifts[i].account][gifts[i].token] += gifts[i].amount;
        }
        address[4] memory accounts = [alice, bob, carol, fees];
        for (uint256 i; i < 4; ++i) {
            vm.assertEq(units(accounts[i]), expected[accounts[i]][address(usdc)], "units");
            vm.assertEq(vault.balanceOf(accounts[i], address(btc)), expected[accounts[i]][address(btc)], "tBTC");
            vm.assertEq(vault.balanceOf(accounts[i], address(eth)), expected[accounts[i]][address(eth)], "tETH");
        }
        assertPoolsConserved();
    }

    /// @dev Some have much, some have nothing; the pools are somewhere.
    function endow() internal {
        address[4] memory accounts = [alice, bob, carol, fees];
        for (uint256 i; i < 4; ++i) {
            address account = accounts[i];
            expected[account][address(usdc)] = draw(0, 1) * draw(1, 3_000_000);
            expected[account][address(btc)] = draw(0, 1) * draw(1, 300) * BASE_PER_LOT;
            expected[account][address(eth)] = draw(0, 1) * draw(1, 300) * BASE_PER_LOT;
            if (expected[account][address(usdc)] != 0) giveUnits(account, expected[account][address(usdc)]);
            for (uint256 j; j < 2; ++j) {
                address token = j == 0 ? address(btc) : address(eth);
                if (expected[account][token] != 0) vault.mintSynth(token, account, expected[account][token]);
            }
        }
        buyFrom(btcPool, draw(1, POOL_UNITS));
        sellTo(ethPool, eth, draw(1, POOL_LOTS) * BASE_PER_LOT);
    }

    /* THE BOOK */

    function planFill() internal returns (uint8 reason) {
        (address seller, address buyer) = (drawAccount(), drawAccount());
        if (seller == buyer) buyer = seller == alice ? bob : alice;
        (uint64 price, uint64 lots) = (uint64(draw(1, 20_000)), uint64(draw(1, 150)));
        uint256 fee = feeOf(price * lots, 2_500);
        uint16 maker = add(resting(seller, SIDE_SELL, price, lots, nonceOf(1, ++sequence)));
        match_(maker, add(resting(buyer, SIDE_BUY, price, lots, nonceOf(1, ++sequence))), lots, 2_500, 2_500);

        if (expected[seller][address(btc)] < lots * BASE_PER_LOT) return 1;
        if (expected[buyer][address(usdc)] < price * lots + fee) return 0x81;
        move(address(btc), seller, buyer, lots * BASE_PER_LOT);
        move(address(usdc), buyer, seller, price * lots);
        move(address(usdc), buyer, fees, fee);
        move(address(usdc), seller, fees, fee);
    }

    /* THE POOLS */

    /// @dev In the pool of tBTC or of tETH; a fill of the book if it has its leg already.
    function planLeg(uint256 which) internal returns (uint8) {
        if (hasLeg[which]) return planFill();
        hasLeg[which] = true;
        (SynthERC20 base, IAmmPair pair) = which == 0 ? (btc, btcPool) : (eth, ethPool);
        address account = drawAccount();
        uint64 lots = uint64(draw(1, 150));
        bool isBuy = draw(0, 1) == 0;
        // Around what the pool wants or gives now.
        uint256 quote = (isBuy ? cost(base, pair, lots) : proceeds(base, pair, lots)) * draw(990, 1_010) / 1_000;

        Order memory order = amm(account, isBuy ? SIDE_BUY : SIDE_SELL, isBuy ? 10 ** 6 : 1, lots, ++sequence);
        leg(which == 0 ? order : onEth(order), quote, 2_500);
        return isBuy ? buyLeg(base, pair, account, lots, quote) : sellLeg(base, pair, account, lots, quote);
    }

    function buyLeg(SynthERC20 base, IAmmPair pair, address account, uint256 lots, uint256 quote)
        internal
        returns (uint8)
    {
        uint256 fee = feeOf(quote, 2_500);
        if (expected[account][address(usdc)] < quote + fee) return 0x81;
        uint256 given = bought(base, pair, quote);
        if (given < lots * BASE_PER_LOT) return 6;

        expected[account][address(usdc)] -= quote;
        expected[account][address(base)] += lots * BASE_PER_LOT;
        move(address(usdc), account, fees, fee);
        gifts.push(Gift(account, address(base), given - lots * BASE_PER_LOT));
        return 0;
    }

    function sellLeg(SynthERC20 base, IAmmPair pair, address account, uint256 lots, uint256 quote)
        internal
        returns (uint8)
    {
        if (expected[account][address(base)] < lots * BASE_PER_LOT) return 0x81;
        uint256 given = proceeds(base, pair, lots);
        if (given < quote) return 6;

        expected[account][address(base)] -= lots * BASE_PER_LOT;
        expected[account][address(usdc)] += quote;
        move(address(usdc), account, fees, feeOf(quote, 2_500));
        gifts.push(Gift(account, address(usdc), given - quote));
        return 0;
    }

    function move(address token, address from, address to, uint256 amount) internal {
        expected[from][token] -= amount;
        expected[to][token] += amount;
    }

    function feeOf(uint256 quote, uint256 ppm) internal pure returns (uint256) {
        return (quote * ppm + 999_999) / 1_000_000;
    }
}
