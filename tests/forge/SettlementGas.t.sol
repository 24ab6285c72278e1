// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AgentTerms, Order, SIDE_BUY, SIDE_SELL} from "../../contracts/interfaces/Types.sol";
import {Change} from "../../contracts/libraries/Changes.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {Fixture} from "./Fixture.sol";
import {Batch} from "./ReadableSettlement.sol";

/// @title What a batch costs, and that the batcher's estimate is an upper bound of it
/// @dev Every call is a transaction of its own, as on chain. Fresh: slots, and the balances that receive, were never
/// used. forge-config: default.isolate = true
contract SettlementGasTest is Fixture {
    // Twins: `offchain.domain.batch`.
    uint256 internal constant GAS_BATCH_BASE = 90_000;
    uint256 internal constant GAS_PER_ORDER = 50_000;
    uint256 internal constant GAS_PER_FRESH_SLOT = 35_000;
    uint256 internal constant GAS_PER_FILL = 5_000;

    /// @dev forge prints it with -vv.
    event log_named_uint(string name, uint256 value); // solhint-disable-line event-name-capwords

    uint256 internal constant BLOCK_GAS = 3_000_000;
    uint256 internal constant BATCH_GAS_MAX = 1_400_000;
    int32 internal constant MAKER_PPM = 2_500;
    int32 internal constant TAKER_PPM = 2_500;

    uint48 internal sequence = 1_000_000;

    /// @dev A wallet's, written out: a call of `walletSign` would be in the snapshot too.
    function sign(uint256 key, bytes32 digest) internal pure override returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function setUp() public override {
        super.setUp();
        giveUnits(fees, 1);
    }

    function buyerKey(uint256 i) internal pure returns (uint256) {
        return 0xB000 + i;
    }

    function sellerKey(uint256 i) internal pure returns (uint256) {
        return 0x5000 + i;
    }

    function endow(uint256 count) internal {
        for (uint256 i; i < count; ++i) {
            giveUnits(vm.addr(buyerKey(i)), 10 ** 12);
            giveLots(vm.addr(sellerKey(i)), 10 ** 6);
        }
    }

    function order(uint256 key, uint8 side, uint16 slot) internal returns (Order memory) {
        return resting(vm.addr(key), side, 65_432, 1_234, nonceOf(slot, ++sequence));
    }

    /// @dev n pairs of strangers; returns the gas of settling them.
    function pairs(uint256 count) internal returns (uint256) {
        for (uint256 i; i < count; ++i) {
            uint16 maker = add(order(sellerKey(i), SIDE_SELL, 1), sellerKey(i));
            match_(maker, add(order(buyerKey(i), SIDE_BUY, 1), buyerKey(i)), 1_234, MAKER_PPM, TAKER_PPM);
        }
        return measure();
    }

    /// @dev One immediate taker (bob) against n makers.
    function sweep(uint256 count, uint8 takerSide) internal returns (uint256) {
        Order memory taker = immediate(bob, takerSide, 65_432, uint64(1_234 * count), ++sequence);
        uint16 index = add(taker, bobKey);
        for (uint256 i; i < count; ++i) {
            uint256 key = takerSide == SIDE_BUY ? sellerKey(i) : buyerKey(i);
            uint8 side = takerSide == SIDE_BUY ? SIDE_SELL : SIDE_BUY;
            match_(add(order(key, side, 1), key), index, 1_234, MAKER_PPM, TAKER_PPM);
        }
        return measure();
    }

    function measure() internal returns (uint256 used) {
        Batch memory batch = take();
        uint256 estimate = estimateOf(batch);
        settlement.settle(pack(batch));
        used = vm.lastCallGas().gasTotalUsed;
        vm.assertLe(used, estimate, "the batcher's estimate is an upper bound");
    }

    function estimateOf(Batch memory batch) internal view returns (uint256 estimate) {
        estimate = GAS_BATCH_BASE + GAS_PER_ORDER * batch.orders.length + GAS_PER_FILL * batch.fills.length;
        for (uint256 i; i < batch.orders.length; ++i) {
            // Fresh is a slot in which nothing has settled, as the engine counts.
            (address account, uint16 slot) = (batch.orders[i].account, uint16(batch.orders[i].nonce >> 48));
            (uint48 top,) = settlement.slotOf(account, slot);
            if (slot == 0) top = vault.accountOf(account).immediateSequence;
            if (top == 0) estimate += GAS_PER_FRESH_SLOT;
        }
    }

    function record(string memory name, uint256 count, uint256 used) internal {
        emit log_named_uint(string.concat(name, ", ", vm.toString(count)), used);
    }

    function test_gas_pairs_of_strangers() public {
        endow(20);
        uint256[4] memory counts = [uint256(1), 5, 12, 20];
        for (uint256 j; j < counts.length; ++j) {
            // Each round has strangers of its own.
            super.setUp();
            giveUnits(fees, 1);
            endow(counts[j]);
            uint256 used = pairs(counts[j]);
            record("pairs of strangers, all fresh", counts[j], used);
            record("pairs of strangers, recycled slots", counts[j], pairs(counts[j]));
        }
    }

    function test_gas_pairs_of_strangers_who_hold_both_tokens() public {
        endow(20);
        for (uint256 i; i < 20; ++i) {
            giveUnits(vm.addr(sellerKey(i)), 1);
            giveLots(vm.addr(buyerKey(i)), 1);
        }
        uint256 used = pairs(20);
        vm.assertLe(used, BLOCK_GAS);
        record("pairs of strangers, fresh slots only", 20, used);
    }

    function test_gas_taker_against_makers() public {
        uint256[4] memory counts = [uint256(1), 5, 12, 20];
        for (uint256 j; j < counts.length; ++j) {
            super.setUp();
            giveUnits(fees, 1);
            endow(counts[j]);
            giveUnits(bob, 10 ** 12);
            giveLots(bob, 10 ** 6);
            record("taker buys from fresh makers", counts[j], sweep(counts[j], SIDE_BUY));
            record("taker buys from known makers", counts[j], sweep(counts[j], SIDE_BUY));
            record("taker sells to fresh makers", counts[j], sweep(counts[j], SIDE_SELL));
        }
    }

    function test_gas_pairs_of_strangers_on_markets_of_their_own() public {
        endow(20);
        buildOnOwnMarkets(20, false);
        record("pairs of strangers, all fresh, own markets", 20, measure());
    }

    /// @dev Requests on both balances, and cancels that do not bind yet.
    function test_gas_pairs_of_strangers_with_everything_open() public {
        endow(8);
        buildOnOwnMarkets(8, true);
        record("pairs of strangers, own markets, everything open", 8, measure());
        for (uint32 i; i < 8; ++i) {
            (Order memory maker, Order memory taker) =
                (order(sellerKey(i), SIDE_SELL, 1), order(buyerKey(i), SIDE_BUY, 1));
            (maker.market, taker.market) = (100 + i, 100 + i);
            match_(add(maker, sellerKey(i)), add(taker, buyerKey(i)), 1_234, MAKER_PPM, TAKER_PPM);
        }
        record("pairs of strangers, own markets, everything open, recycled slots", 8, measure());
    }

    /// @dev Two orders, which cost little among so many fills.
    function test_gas_many_fills_of_two_orders() public {
        endow(1);
        uint64[3] memory counts = [uint64(1), 50, 100];
        for (uint256 j; j < counts.length; ++j) {
            Order memory maker = order(sellerKey(0), SIDE_SELL, 1);
            Order memory taker = order(buyerKey(0), SIDE_BUY, 1);
            (uint16 first, uint16 second) = (add(maker, sellerKey(0)), add(taker, buyerKey(0)));
            for (uint256 i; i < counts[j]; ++i) {
                match_(first, second, 1, MAKER_PPM, TAKER_PPM);
            }
            record("fills of two orders", counts[j], measure());
        }
    }

    /// @dev Slots were used; but what they get they have sold or spent to the last before.
    function test_gas_pairs_of_strangers_who_have_nothing_of_what_they_get() public {
        endow(20);
        pairs(20);
        for (uint256 i; i < 20; ++i) {
            address[2] memory accounts = [vm.addr(buyerKey(i)), vm.addr(sellerKey(i))];
            empty(accounts[0], address(btc));
            empty(accounts[1], address(usdc));
        }
        record("pairs of strangers, recycled slots, nothing of what they get", 20, pairs(20));
    }

    function empty(address account, address token) internal {
        uint256 held = vault.balanceOf(account, token);
        (address[] memory accounts, Change[] memory changes) = movement(account, address(0xE), held);
        vm.prank(address(settlement));
        vault.applySettlement(token, accounts, changes);
    }

    function agentKey(uint256 key) internal pure returns (uint256) {
        return key + 0xA000000;
    }

    function registerFor(uint256 key, uint32 market) internal {
        uint32[] memory markets = new uint32[](1);
        markets[0] = market;
        vm.prank(vm.addr(key));
        settlement.registerAgent(AgentTerms(vm.addr(agentKey(key)), type(uint40).max, 10 ** 15, markets));
    }

    /// @dev Both of these orders are signed by agents, as leaves of full trees.
    function matchInBulk(Order memory maker, uint256 makerKey, Order memory taker, uint256 takerKey) internal {
        bytes32[5] memory path;
        for (uint256 i; i < 5; ++i) {
            path[i] = keccak256(abi.encode(i));
        }
        uint16 index = addBulk(maker, agentKey(makerKey), 7, path);
        match_(index, addBulk(taker, agentKey(takerKey), 24, path), 1_234, MAKER_PPM, TAKER_PPM);
    }

    /// @dev Everybody signs through an agent for one market, in a tree.
    function test_gas_pairs_of_agents_in_bulk() public {
        endow(20);
        for (uint256 i; i < 20; ++i) {
            registerFor(buyerKey(i), BTC_USDC);
            registerFor(sellerKey(i), BTC_USDC);
        }
        for (uint256 round; round < 2; ++round) {
            for (uint256 i; i < 20; ++i) {
                (uint256 seller, uint256 buyer) = (sellerKey(i), buyerKey(i));
                matchInBulk(order(seller, SIDE_SELL, 1), seller, order(buyer, SIDE_BUY, 1), buyer);
            }
            record(round == 0 ? "pairs of agents, all fresh" : "pairs of agents, recycled slots", 20, measure());
        }
    }

    /// @dev Agents in bulk, own markets, requests, cancels, recycled slots and nothing of what they get: no estimate can
    /// know all of that. But what the batcher puts into a batch, a block takes.
    function test_gas_the_most_that_can_come_together_fits_a_block() public {
        uint256 count;
        while (GAS_BATCH_BASE + (count + 1) * (2 * GAS_PER_ORDER + GAS_PER_FILL) <= BATCH_GAS_MAX) ++count;
        endow(count);
        buildOnOwnMarkets(count, true);
        settle();
        for (uint32 i; i < count; ++i) {
            (uint256 seller, uint256 buyer) = (sellerKey(i), buyerKey(i));
            address token = settlement.marketOf(100 + i).baseToken;
            empty(vm.addr(seller), address(usdc));
            empty(vm.addr(buyer), token);
            registerFor(seller, 100 + i);
            registerFor(buyer, 100 + i);
            (Order memory maker, Order memory taker) = (order(seller, SIDE_SELL, 1), order(buyer, SIDE_BUY, 1));
            (maker.market, taker.market) = (100 + i, 100 + i);
            matchInBulk(maker, seller, taker, buyer);
        }
        Batch memory batch = take();
        vm.assertLe(estimateOf(batch), BATCH_GAS_MAX);
        settlement.settle(pack(batch));
        uint256 used = vm.lastCallGas().gasTotalUsed;
        record("the most of everything", count, used);
        vm.assertLe(used, BLOCK_GAS);
    }

    function buildOnOwnMarkets(uint256 count, bool isEncumbered) internal {
        for (uint32 i; i < count; ++i) {
            uint32 market = 100 + i;
            SynthERC20 token = newSynth("Other", string.concat("OTHER", vm.toString(i)));
            vault.registerSynth(address(token));
            settlement.listMarket(market, address(token), BASE_PER_LOT, QUOTE_PER_TICK_LOT, "OTHER-USDC");
            vault.mintSynth(address(token), vm.addr(sellerKey(i)), 1e24);
            if (isEncumbered) {
                encumber(vm.addr(sellerKey(i)), address(token));
                encumber(vm.addr(buyerKey(i)), address(token));
            }

            Order memory maker = order(sellerKey(i), SIDE_SELL, 1);
            Order memory taker = order(buyerKey(i), SIDE_BUY, 1);
            (maker.market, taker.market) = (market, market);
            match_(add(maker, sellerKey(i)), add(taker, buyerKey(i)), 1_234, MAKER_PPM, TAKER_PPM);
        }
    }

    function encumber(address account, address token) internal {
        vm.startPrank(account);
        vault.requestWithdrawal(address(usdc), 1, account);
        vault.requestWithdrawal(token, 1, account);
        settlement.cancel(nonceOf(1, sequence + 1_000));
        settlement.cancelAll(sequence + 1_000);
        vm.stopPrank();
    }
}
