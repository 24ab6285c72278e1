// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {
    Authorization,
    EXIT_DELAY,
    Order,
    SETTLEMENT_WINDOW,
    SIDE_BUY,
    SIDE_SELL,
    TIF_GTD,
    Withdrawal
} from "../../contracts/interfaces/Types.sol";
import {IPausable} from "../../contracts/interfaces/IPausable.sol";
import {PAUSE_MAX, PAUSE_REST} from "../../contracts/libraries/PauseRules.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {Pool} from "./Pool.sol";
import {Batch} from "./ReadableSettlement.sol";

/// @title Four accounts that do whatever they like, and a ghost that keeps the books in the plainest way
/// @dev The ghost knows one balance per account and token and applies one fill after the other: no netting, no packing,
/// no transient index. Every action is bounded so that it must succeed; the fee account trades, too. A stranger trades
/// with the pool behind everyone's back, and a guardian pauses.
contract Crowd is Pool {
    struct GhostRequest {
        uint256 amount;
        uint256 maturesAt;
    }

    struct GhostSlot {
        uint48 sequence;
        uint256 filled;
    }

    struct GhostCancel {
        uint256 at;
        uint48 floor;
    }

    /// @dev One planned fill, as the ghost sees it.
    struct Plan {
        Order order;
        uint256 lots;
        uint256 price;
        int32 ppm;
        int256 fee;
    }

    /// @dev What the pool gave beyond its promise.
    struct Surplus {
        address account;
        address token;
        uint256 amount;
    }

    address[4] public actors;
    Surplus internal surplus;

    mapping(address account => mapping(address token => uint256)) public balances;
    mapping(address account => mapping(address token => GhostRequest)) public requests;
    mapping(address account => mapping(uint16 slot => GhostSlot)) public slots;
    mapping(address account => uint48) public immediates;
    mapping(address account => GhostCancel[]) internal cancels;
    uint256 public locked;
    uint256 public events;
    uint256 public fillCount;
    uint256 public refusalCount;
    uint256 internal withdrawalNonce;
    uint256 public legCount;
    uint256 internal product;
    uint256 internal lastPause;

    constructor() {
        setUp();
        actors = [alice, bob, carol, fees];
        for (uint256 i; i < 4; ++i) {
            depositUnits(i, 1_000_000);
            mintLots(i, 10_000);
        }
        // The registration of the synths and the listing of their markets came first.
        events += 4;
        vault.grantRole(vault.GUARDIAN_ROLE(), address(this));
        settlement.grantRole(settlement.GUARDIAN_ROLE(), address(this));
    }

    function actor(uint256 seed) internal view returns (address) {
        return actors[seed % 4];
    }

    function tokenOf(uint256 seed) internal view returns (address) {
        return seed % 2 == 0 ? address(usdc) : address(btc);
    }

    function debitable(address account, address token) internal view returns (uint256) {
        GhostRequest memory open = requests[account][token];
        uint256 balance = balances[account][token];
        if (open.amount == 0 || block.timestamp < open.maturesAt) return balance;
        return balance > open.amount ? balance - open.amount : 0;
    }

    /* MONEY */

    function depositUnits(uint256 who, uint256 amount) public {
        amount = bound(amount, 1, 2_000_000);
        giveUnits(actor(who), amount);
        balances[actor(who)][address(usdc)] += amount;
        ++events;
    }

    function mintLots(uint256 who, uint256 lots) public {
        lots = bound(lots, 1, 20_000);
        giveLots(actor(who), lots);
        balances[actor(who)][address(btc)] += lots * BASE_PER_LOT;
        ++events;
    }

    function burn(uint256 who, uint256 amount) public {
        address account = actor(who);
        uint256 free = debitable(account, address(btc));
        if (free == 0) return;
        amount = bound(amount, 1, free);
        vault.burnSynth(
            address(btc), account, amount, approve(account, address(btc), amount, VaultMessages.PURPOSE_BURN)
        );
        balances[account][address(btc)] -= amount;
        ++events;
    }

    function lock(uint256 who, uint256 amount) public {
        address account = actor(who);
        uint256 free = debitable(account, address(usdc));
        if (free == 0) return;
        amount = bound(amount, 1, free);
        vault.lockCollateral(account, amount, approve(account, address(usdc), amount, VaultMessages.PURPOSE_LOCK));
        balances[account][address(usdc)] -= amount;
        locked += amount;
        ++events;
    }

    function unlock(uint256 who, uint256 amount) public {
        if (locked == 0) return;
        amount = bound(amount, 1, locked);
        vault.unlockCollateral(actor(who), amount);
        balances[actor(who)][address(usdc)] += amount;
        locked -= amount;
        ++events;
    }

    /* WITHDRAWALS */

    function requestSome(uint256 who, uint256 which, uint128 amount) public {
        (address account, address token) = (actor(who), tokenOf(which));
        if (requests[account][token].amount != 0) return;
        amount = uint128(bound(amount, 1, 2 * balances[account][token] + 1));
        request(account, token, amount);
        requests[account][token] = GhostRequest(amount, block.timestamp + EXIT_DELAY);
        ++events;
    }

    function cancelRequest(uint256 who, uint256 which) public {
        (address account, address token) = (actor(who), tokenOf(which));
        if (requests[account][token].amount == 0) return;
        vm.prank(account);
        vault.cancelWithdrawalRequest(token);
        delete requests[account][token];
        ++events;
    }

    function complete(uint256 who, uint256 which) public {
        (address account, address token) = (actor(who), tokenOf(which));
        GhostRequest memory open = requests[account][token];
        if (open.amount == 0 || block.timestamp < open.maturesAt || balances[account][token] == 0) return;
        vault.completeWithdrawal(account, token);
        uint256 paid = open.amount < balances[account][token] ? open.amount : balances[account][token];
        balances[account][token] -= paid;
        requests[account][token].amount -= paid;
        ++events;
    }

    function withdrawSome(uint256 who, uint256 amount, bool asCxpt) public {
        address account = actor(who);
        GhostRequest storage open = requests[account][address(usdc)];
        uint256 limit = open.amount < balances[account][address(usdc)] ? open.amount : balances[account][address(usdc)];
        if (limit == 0 || block.timestamp < open.maturesAt) return;
        amount = bound(amount, 1, limit);
        vm.prank(account);
        vault.withdraw(amount, asCxpt);
        open.amount -= amount;
        balances[account][address(usdc)] -= amount;
        if (asCxpt) balances[TREASURY][address(usdc)] += amount;
        ++events;
    }

    function withdrawAtOnce(uint256 who, uint256 which, uint256 amount, bool asCxpt) public {
        (address account, address token) = (actor(who), tokenOf(which));
        uint256 free = debitable(account, token);
        if (free == 0) return;
        Withdrawal memory withdrawal = withdrawalOf(account, token, bound(amount, 1, free), ++withdrawalNonce);
        withdrawal.asCxpt = asCxpt && token == address(usdc);
        vault.withdrawApproved(withdrawal, signWithdrawal(withdrawal), approveWithdrawal(withdrawal));
        balances[account][token] -= withdrawal.amount;
        if (withdrawal.asCxpt) balances[TREASURY][token] += withdrawal.amount;
        ++events;
    }

    /* TIME AND CANCELS */

    function wait_(uint256 time) public {
        vm.warp(block.timestamp + bound(time, 1, 6 minutes));
    }

    function cancelSome(uint256 who, uint48 floor) public {
        address account = actor(who);
        // Near the sequences in use, so that it matters.
        floor = uint48(bound(floor, 0, 3)) + slots[account][1].sequence;
        vm.prank(account);
        settlement.cancelAll(floor);
        cancels[account].push(GhostCancel(block.timestamp + SETTLEMENT_WINDOW, floor));
        ++events;
    }

    function isCancelled(address account, uint48 sequence) internal view returns (bool) {
        GhostCancel[] storage list = cancels[account];
        for (uint256 i; i < list.length; ++i) {
            if (list[i].at <= block.timestamp && sequence < list[i].floor) return true;
        }
        return false;
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
        delete surplus;
        for (uint256 i; i < count; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint8 reason = i == legAt ? planLeg(seed) : planFill(seed);
            if (reason != 0) {
                expected = abi.encodePacked(expected, uint16(i), reason);
                ++refusalCount;
            }
        }
        Batch memory batch = take();
        vm.assertEq(settle(batch), expected);
        fillCount += count;
        ++events;
        // It came when the batch was over.
        if (surplus.account == address(0)) return;
        balances[surplus.account][surplus.token] += surplus.amount;
        ++legCount;
        ++events;
        checkProduct();
    }

    /// @return reason What the ghost expects of the AMM fill that was added to the batch.
    function planLeg(uint256 seed) internal returns (uint8 reason) {
        (address account, uint64 lots) = (actor(seed >> 24), uint64(1 + (seed >> 64) % 200));
        bool isBuy = seed >> 32 & 1 == 0;
        uint256 quote = isBuy ? cost(btc, btcPool, lots) : proceeds(btc, btcPool, lots);
        quote = quote * (995 + (seed >> 128) % 10) / 1_000;
        // A sale's limit is one unit a lot.
        if (quote < lots) return planFill(seed);

        Order memory order =
            amm(account, isBuy ? SIDE_BUY : SIDE_SELL, isBuy ? 10 ** 12 : 1, lots, ++immediates[account]);
        leg(order, quote, 2_500);
        if (isCancelled(account, uint48(order.nonce))) return 0x82;
        return isBuy ? buyLeg(account, lots * BASE_PER_LOT, quote) : sellLeg(account, lots, quote);
    }

    function buyLeg(address account, uint256 atoms, uint256 quote) internal returns (uint8) {
        uint256 fee = uint256(feeOf(quote, 2_500));
        if (debitable(account, address(usdc)) < quote + fee) return 0x81;
        uint256 given = bought(btc, btcPool, quote);
        if (given < atoms) return 6;
        balances[account][address(usdc)] -= quote + fee;
        balances[account][address(btc)] += atoms;
        balances[fees][address(usdc)] += fee;
        surplus = Surplus(account, address(btc), given - atoms);
        return 0;
    }

    function sellLeg(address account, uint256 lots, uint256 quote) internal returns (uint8) {
        uint256 fee = uint256(feeOf(quote, 2_500));
        if (debitable(account, address(btc)) < lots * BASE_PER_LOT) return 0x81;
        uint256 given = proceeds(btc, btcPool, lots);
        if (given < quote) return 6;
        balances[account][address(btc)] -= lots * BASE_PER_LOT;
        balances[account][address(usdc)] += quote - fee;
        balances[fees][address(usdc)] += fee;
        surplus = Surplus(account, address(usdc), given - quote);
        return 0;
    }

    /// @return reason What the ghost expects of the fill that was added to the batch.
    function planFill(uint256 seed) internal returns (uint8 reason) {
        (Plan memory left, Plan memory right) = (planMaker(seed), planTaker(seed));
        if (seed >> 250 & 1 == 0) makeImmediate(right.order);
        match_(add(left.order), add(right.order), uint64(left.lots), left.ppm, right.ppm);

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
        plan.lots = 1 + (seed >> 64) % 500;
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
        uint48 sequence = newest + uint48((seed >> 4) % 3);
        if (sequence > 0 && (seed >> 4) % 3 == 0 && (seed >> 8) % 4 == 0) --sequence;
        // No order is listed twice, and no two of them with one nonce.
        while (isListed(account, nonceOf(slot, sequence))) ++sequence;
        order = resting(account, isBuy ? SIDE_BUY : SIDE_SELL, price, 10 ** 9, nonceOf(slot, sequence));
        if ((seed >> 12) % 4 == 0) {
            order.timeInForce = TIF_GTD;
            order.expiry = uint40(block.timestamp - (seed >> 16) % (2 * SETTLEMENT_WINDOW));
        }
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
        if (isCancelled(order.account, sequence)) return 2;
        if (order.expiry != 0 && block.timestamp >= order.expiry + SETTLEMENT_WINDOW) return 3;
        if (slot != 0 && sequence < slots[order.account][slot].sequence) return 4;
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
        if (order.side == SIDE_BUY) {
            mine[address(usdc)] = uint256(int256(mine[address(usdc)]) - notional - plan.fee);
            mine[address(btc)] += plan.lots * BASE_PER_LOT;
        } else {
            mine[address(usdc)] = uint256(int256(mine[address(usdc)]) + notional - plan.fee);
            mine[address(btc)] -= plan.lots * BASE_PER_LOT;
        }
    }

    /* CHECKS */

    function checkBalances() external view {
        for (uint256 i; i < 4; ++i) {
            checkAccount(actors[i]);
        }
        checkAccount(TREASURY);
    }

    function checkAccount(address account) internal view {
        address[2] memory tokens = [address(usdc), address(btc)];
        for (uint256 j; j < 2; ++j) {
            vm.assertEq(vault.balanceOf(account, tokens[j]), balances[account][tokens[j]], "balance");
            vm.assertEq(vault.debitable(account, tokens[j]), debitable(account, tokens[j]), "debitable");
            vm.assertEq(vault.requestOf(account, tokens[j]).amount, requests[account][tokens[j]].amount, "request");
        }
        vm.assertEq(vault.accountOf(account).immediateSequence, immediates[account], "immediate sequence");
    }

    function checkConservation() external view {
        address[] memory accounts = new address[](5);
        for (uint256 i; i < 4; ++i) {
            accounts[i] = actors[i];
        }
        accounts[4] = TREASURY;
        assertConserved(address(usdc), accounts);
        assertConserved(address(btc), accounts);
        vm.assertEq(usdc.balanceOf(address(vault)), vault.totalsOf(address(usdc)).internalTotal + locked, "custody");
        vm.assertEq(btc.balanceOf(address(vault)), vault.totalsOf(address(btc)).internalTotal, "custody of synths");
        vm.assertEq(vault.totalsOf(address(usdc)).locked, locked, "locked");
        vm.assertEq(cxpt.totalSupply(), balances[TREASURY][address(usdc)] * 10 ** 12, "cxpt");
    }

    /// @dev Trading with a pool never costs it.
    function checkProduct() internal {
        uint256 held = usdc.balanceOf(address(btcPool)) * btc.balanceOf(address(btcPool));
        vm.assertGe(held, product);
        product = held;
    }

    function checkPool() external view {
        vm.assertEq(units(address(btcPool)), 0);
        vm.assertEq(vault.balanceOf(address(btcPool), address(btc)), 0);
    }

    function checkSequences() external view {
        vm.assertEq(vault.sequence(), events, "one number for every log");
        vm.assertEq(settlement.lastFill(), fillCount, "fills");
        for (uint256 i; i < 4; ++i) {
            for (uint16 slot = 1; slot < 3; ++slot) {
                (uint48 sequence, uint64 filled) = settlement.slotOf(actors[i], slot);
                vm.assertEq(sequence, slots[actors[i]][slot].sequence, "slot");
                vm.assertEq(filled, slots[actors[i]][slot].filled, "filled");
            }
        }
    }
}
