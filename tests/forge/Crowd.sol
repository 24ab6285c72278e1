// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPausable} from "../../contracts/interfaces/IPausable.sol";
import {Order, SETTLEMENT_WINDOW, SIDE_BUY, SIDE_SELL, TIF_GTD} from "../../contracts/interfaces/Types.sol";
import {PAUSE_MAX, PAUSE_REST} from "../../contracts/libraries/PauseRules.sol";
import {CrowdMoney} from "./CrowdMoney.sol";
import {Vm} from "./Test.sol";

/// @title Four accounts that do whatever they like
/// @dev The ghost applies one fill after the other: no netting, no packing, no transient index. Every action is bounded so
/// that it must succeed; the fee account trades, too. A stranger trades with the pool behind everyone's back, and a
/// guardian pauses.
contract Crowd is CrowdMoney {
    /// @dev One planned fill, as the ghost sees it.
    struct Plan {
        Order order;
        uint256 lots;
        uint256 price;
        int32 ppm;
        int256 fee;
        uint256 signing;
    }

    /// @dev What the pool gave, and how much of it beyond its promise.
    struct Given {
        bool isBuy;
        address account;
        address token;
        uint256 surplus;
        uint256 amountIn;
        uint256 amountOut;
    }

    /// @dev What a batch logs.
    struct Logged {
        bytes refusals;
        bytes changes;
        uint256 gas;
    }

    uint256 internal constant BY_AGENT = 1;
    uint256 internal constant IN_BULK = 2;

    Given internal given;
    uint256 internal freshSlots;
    uint256 public refusalCount;
    uint256 public agentFills;
    uint256 public legCount;
    uint256 internal product;
    uint256 internal lastPause;

    constructor() {
        setUp();
        actors = [alice, bob, carol, fees];
        holders = [alice, bob, carol, fees, TREASURY];
        bothTokens = [address(usdc), address(btc)];
        // The registration of the synths and the listing of their markets came first.
        events += 4;
        for (uint256 i; i < 4; ++i) {
            depositUnits(i, 1_000_000);
            mintLots(i, 10_000);
            agentFor[actors[i]] = vm.addr(agentKey(actors[i]));
            appoint(actors[i], 1 days, type(uint128).max);
        }
        vault.grantRole(vault.GUARDIAN_ROLE(), address(this));
        settlement.grantRole(settlement.GUARDIAN_ROLE(), address(this));
    }

    /* POOL AND GUARDIAN */

    function moveThePool(uint256 amount, bool isSale) public {
        if (isSale) sellTo(btcPool, btc, bound(amount, 1, 50_000) * BASE_PER_LOT);
        else buyFrom(btcPool, bound(amount, 1, 500_000_000));
        checkProduct();
    }

    /// @dev A pause from its beginning to its end, early or by itself; or one that comes too soon.
    function pauseBoth(uint256 time, bool isEnded) public {
        if (lastPause != 0 && block.timestamp < lastPause + PAUSE_REST) {
            vm.expectRevert(abi.encodeWithSelector(IPausable.PauseTooSoon.selector, lastPause + PAUSE_REST));
            vault.pause();
            return;
        }
        vault.pause();
        settlement.pause();
        lastPause = block.timestamp + PAUSE_MAX;
        vm.warp(block.timestamp + bound(time, 0, PAUSE_MAX - 1));
        bytes memory reason = abi.encodeWithSelector(IPausable.IsPaused.selector, lastPause);
        vm.expectRevert(reason);
        vault.depositFor(alice, 1);
        vm.expectRevert(reason);
        settlement.settle("");

        if (isEnded) {
            vault.unpause();
            settlement.unpause();
            lastPause = block.timestamp;
        } else {
            vm.warp(lastPause);
        }
    }

    /* SETTLEMENT */

    /// @dev Up to four fills of orders that may be dead, cancelled, expired or not covered; one of them with the pool.
    function settleSome(uint256 seed) public {
        uint256 count = 1 + seed % 4;
        uint256 legAt = seed >> 8 & 1 == 0 ? (seed >> 16) % count : count;
        bytes memory expected;
        delete given;
        freshSlots = 0;
        for (uint256 i; i < count; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint8 reason = i == legAt ? planLeg(seed) : planFill(seed);
            if (reason != 0) {
                expected = abi.encodePacked(expected, uint16(i), reason);
                ++refusalCount;
            }
        }
        (uint256 listed, uint256 legs) = (orders.length, ammQuotes.length);
        Logged memory logged = settleLogged();
        vm.assertEq(logged.refusals, expected, "refusals");
        fillCount += count;
        ++events;
        checkGas(logged.gas, listed, count, legs);
        checkSums(logged.changes);
        if (given.account == address(0)) return;
        // It came when the batch was over.
        balances[given.account][given.token] += given.surplus;
        ++legCount;
        ++events;
        checkProduct();
    }

    function settleLogged() internal returns (Logged memory logged) {
        bytes memory packed = pack(take());
        vm.recordLogs();
        settlement.settle(packed);
        logged.gas = vm.lastCallGas().gasTotalUsed + 21_000 + 16 * packed.length;
        Vm.Log[] memory logs = vm.getRecordedLogs();
        (, logged.refusals, logged.changes) = abi.decode(logs[logs.length - 1].data, (uint64, bytes, bytes));
    }

    /// @dev What the batcher counts on (`PACKED_RULES` in offchain/domain/batch.py). Built without the optimizer, as for
    /// coverage, it is not the code that is deployed, and too large.
    function checkGas(uint256 used, uint256 listed, uint256 count, uint256 legs) internal view {
        if (address(settlement).code.length > 24_576) return;
        uint256 bound_ = 90_000 + 50_000 * listed + 35_000 * freshSlots + 5_000 * count + 250_000 * legs;
        vm.assertLe(used, bound_, "gas");
    }

    /// @dev What the accounts got of each token in the batch is what the pool gave or took, and nothing without one.
    function checkSums(bytes memory changes) internal view {
        int256[2] memory sums;
        for (uint256 at; at < changes.length;) {
            uint256 which = address(uint160(wordAt(changes, at) >> 96)) == address(usdc) ? 0 : 1;
            uint256 rows = uint8(changes[at + 20]);
            at += 21;
            for (uint256 i; i < rows; ++i) {
                // int136 behind an address.
                sums[which] += int256(wordAt(changes, at + 20)) >> 120;
                at += 37;
            }
        }
        (int256 gone, int256 come) = (-int256(given.amountIn), int256(given.amountOut));
        vm.assertEq(sums[0], given.isBuy ? gone : come);
        vm.assertEq(sums[1], given.isBuy ? come : gone);
    }

    function wordAt(bytes memory text, uint256 at) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(text, 32), at))
        }
    }

    /// @return reason What the ghost expects of the AMM fill that was added to the batch.
    function planLeg(uint256 seed) internal returns (uint8 reason) {
        (address account, uint64 lots) = (actor(seed >> 24), uint64(1 + (seed >> 64) % 200));
        bool isBuy = seed >> 32 & 1 == 0;
        uint256 quote = toUnits(isBuy ? cost(btc, btcPool, lots) : proceeds(btc, btcPool, lots));
        quote = quote * (995 + (seed >> 128) % 10) / 1_000;
        // A sale's limit is one unit a lot.
        if (quote < lots) return planFill(seed);

        Order memory order =
            amm(account, isBuy ? SIDE_BUY : SIDE_SELL, isBuy ? 10 ** 12 : 1, lots, ++immediates[account]);
        leg(order, quote, 2_500);
        if (isCancelled(account, 0, uint48(order.nonce))) return 0x82;
        return isBuy ? buyLeg(account, lots * BASE_PER_LOT, quote) : sellLeg(account, lots, quote);
    }

    function buyLeg(address account, uint256 atoms, uint256 quote) internal returns (uint8) {
        uint256 fee = uint256(feeOf(quote, 2_500));
        if (debitable(account, address(usdc)) < quote + fee) return 0x81;
        beforeLeaving(address(usdc), quote);
        uint256 out = bought(btc, btcPool, toAtoms(quote));
        if (out < atoms) return 6;
        balances[account][address(usdc)] -= quote + fee;
        balances[account][address(btc)] += atoms;
        balances[fees][address(usdc)] += fee;
        custody -= toAtoms(quote);
        given = Given(true, account, address(btc), out - atoms, quote, out);
        return 0;
    }

    function sellLeg(address account, uint256 lots, uint256 quote) internal returns (uint8) {
        uint256 fee = uint256(feeOf(quote, 2_500));
        if (debitable(account, address(btc)) < lots * BASE_PER_LOT) return 0x81;
        uint256 atoms = proceeds(btc, btcPool, lots);
        uint256 out = toUnits(atoms);
        if (out < quote) return 6;
        balances[account][address(btc)] -= lots * BASE_PER_LOT;
        balances[account][address(usdc)] += quote - fee;
        balances[fees][address(usdc)] += fee;
        custody += atoms;
        given = Given(false, account, address(usdc), out - quote, lots * BASE_PER_LOT, out);
        return 0;
    }

    /// @return reason What the ghost expects of the fill that was added to the batch.
    function planFill(uint256 seed) internal returns (uint8 reason) {
        (Plan memory left, Plan memory right) = (planMaker(seed), planTaker(seed));
        if (seed >> 250 & 1 == 0) makeImmediate(right.order);
        match_(list(left, seed), list(right, seed >> 8), uint64(left.lots), left.ppm, right.ppm);

        reason = reasonOf(left);
        if (reason != 0) return reason;
        reason = reasonOf(right);
        if (reason != 0) return reason | 0x80;
        book(left);
        book(right);
        balances[fees][address(usdc)] = uint256(int256(balances[fees][address(usdc)]) + left.fee + right.fee);
    }

    function planMaker(uint256 seed) internal view returns (Plan memory plan) {
        plan.ppm = int32(int256((seed >> 96) % 4_000)) - 2_000;
        finish(plan, seed, seed >> 24 & 1 == 0, actor(seed >> 8), seed >> 160);
    }

    function planTaker(uint256 seed) internal view returns (Plan memory plan) {
        plan.ppm = 2_000 + int32(int256((seed >> 128) % 3_000));
        // One of the three others.
        finish(plan, seed, seed >> 24 & 1 != 0, actor((seed >> 8) % 4 + 1 + (seed >> 16) % 3), seed >> 200);
    }

    function finish(Plan memory plan, uint256 seed, bool isBuy, address account, uint256 orderSeed) internal view {
        plan.price = 1 + (seed >> 32) % 5_000;
        plan.lots = 1 + (seed >> 64) % 200;
        plan.fee = feeOf(plan.price * plan.lots, plan.ppm);
        plan.order = planOrder(account, isBuy, uint64(plan.price), orderSeed);
    }

    /// @dev An order with a sequence around the newest of its slot.
    function planOrder(address account, bool isBuy, uint64 price, uint256 seed)
        internal
        view
        returns (Order memory order)
    {
        uint16 slot = uint16(1 + seed % 2);
        uint48 newest = slots[account][slot].sequence;
        // Beyond what cancels reach as often as not.
        uint48 sequence = newest + uint48((seed >> 4) % 8);
        if (sequence > 0 && (seed >> 4) % 8 == 0 && (seed >> 8) % 2 == 0) --sequence;
        // No order is listed twice, and no two of them with one nonce.
        while (isListed(account, nonceOf(slot, sequence))) ++sequence;
        order = resting(account, isBuy ? SIDE_BUY : SIDE_SELL, price, 10 ** 9, nonceOf(slot, sequence));
        if ((seed >> 12) % 4 == 0) {
            order.timeInForce = TIF_GTD;
            order.expiry = uint40(block.timestamp - (seed >> 16) % (2 * SETTLEMENT_WINDOW));
        }
    }

    /// @dev Every other order is signed by the account's agent, half of these in bulk.
    function list(Plan memory plan, uint256 seed) internal returns (uint16 index) {
        plan.signing = seed >> 168 & 1 == 0 ? 0 : 1 + (seed >> 176 & 1);
        Order memory order = plan.order;
        uint16 slot = uint16(order.nonce >> 48);
        if (slot != 0 && slots[order.account][slot].sequence == 0) ++freshSlots;
        if (plan.signing == 0) return add(order);
        if (plan.signing == BY_AGENT) return add(order, agentKey(order.account));
        bytes32[5] memory siblings;
        siblings[seed % 5] = bytes32(seed);
        return addBulk(order, agentKey(order.account), uint8(seed >> 184) % 32, siblings);
    }

    function isListed(address account, uint64 nonce) internal view returns (bool) {
        for (uint256 i; i < orders.length; ++i) {
            if (orders[i].account == account && orders[i].nonce == nonce) return true;
        }
        return false;
    }

    function makeImmediate(Order memory order) internal {
        order.nonce = nonceOf(0, ++immediates[order.account]);
        order.timeInForce = 1;
    }

    /// @dev ceil(notional * ppm / 10^6) by hand.
    function feeOf(uint256 notional, int32 ppm) internal pure returns (int256 fee) {
        int256 exact = int256(notional) * ppm;
        fee = exact / 1e6;
        if (exact > 0 && exact % 1e6 != 0) ++fee;
    }

    function reasonOf(Plan memory plan) internal view returns (uint8) {
        Order memory order = plan.order;
        (uint16 slot, uint48 sequence) = (uint16(order.nonce >> 48), uint48(order.nonce));
        if (isCancelled(order.account, slot, sequence)) return 2;
        if (order.expiry != 0 && block.timestamp >= order.expiry + SETTLEMENT_WINDOW) return 3;
        if (plan.signing != 0 && isAgentOver(order.account)) return 8;
        if (slot != 0 && sequence < slots[order.account][slot].sequence) return 4;
        if (plan.signing != 0 && plan.price * plan.lots > agents[order.account].left) return 8;
        uint256 needed =
            order.side == SIDE_BUY ? uint256(int256(plan.price * plan.lots) + plan.fee) : plan.lots * BASE_PER_LOT;
        address token = order.side == SIDE_BUY ? address(usdc) : address(btc);
        return needed > debitable(order.account, token) ? 1 : 0;
    }

    function book(Plan memory plan) internal {
        Order memory order = plan.order;
        (uint16 number, uint48 sequence) = (uint16(order.nonce >> 48), uint48(order.nonce));
        if (number != 0) {
            GhostSlot storage slot = slots[order.account][number];
            slot.filled = slot.sequence == sequence ? slot.filled + plan.lots : plan.lots;
            slot.sequence = sequence;
        }
        mapping(address => uint256) storage mine = balances[order.account];
        int256 notional = int256(plan.price * plan.lots);
        if (plan.signing != 0) {
            ++agentFills;
            if (agents[order.account].left != type(uint128).max) agents[order.account].left -= plan.price * plan.lots;
        }
        if (order.side == SIDE_BUY) {
            mine[address(usdc)] = uint256(int256(mine[address(usdc)]) - notional - plan.fee);
            mine[address(btc)] += plan.lots * BASE_PER_LOT;
        } else {
            mine[address(usdc)] = uint256(int256(mine[address(usdc)]) + notional - plan.fee);
            mine[address(btc)] -= plan.lots * BASE_PER_LOT;
        }
    }

    /// @dev Trading with a pool never costs it.
    function checkProduct() internal {
        uint256 held = usdc.balanceOf(address(btcPool)) * btc.balanceOf(address(btcPool));
        vm.assertGe(held, product);
        product = held;
    }
}
