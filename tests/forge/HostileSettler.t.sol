// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {
    AMM_MAKER,
    EXIT_DELAY,
    FLAG_POST_ONLY,
    Order,
    SETTLEMENT_WINDOW,
    SIDE_BUY,
    SIDE_SELL,
    TIF_FOK
} from "../../contracts/interfaces/Types.sol";
import {BatchCodec} from "../../contracts/libraries/BatchCodec.sol";
import {OrderHash} from "../../contracts/libraries/OrderHash.sol";
import {Batch} from "./ReadableSettlement.sol";
import {SettlerFixture} from "./SettlerFixture.sol";

/// @title A settler that tries whatever a settler can send: ten thousand attempts
/// @dev Each begins with a batch of honest orders, and one thing done to it. It reverts; or it is accepted, and then the
/// judge explains every account's change by what that account signed. Where an attack can only fail, nothing less will
/// do: `mustRevert`, or `mustMoveNothing` for what is refused fill by fill.
contract HostileSettlerTest is SettlerFixture {
    uint256 internal constant HEADER = BatchCodec.HEADER_BYTES;

    uint256 internal attempts;
    uint256 internal reverted;
    uint256 internal moved;
    uint256 internal unmoved;

    bytes[] internal history;
    bytes[] internal historyOrders;

    /* THE TESTS: 2,600 ATTEMPTS EACH */

    function sign(uint256 key, bytes32 digest) internal pure override returns (bytes memory) {
        return walletSign(key, digest);
    }

    function test_a_malicious_settler_forging_signatures() public {
        run(2_600, 0);
        vm.assertGe(reverted, 2_000);
        vm.assertGe(unmoved, 100);
    }

    function test_a_malicious_settler_abusing_signed_orders() public {
        run(2_600, 1);
        vm.assertGe(reverted, 1_000);
        vm.assertGe(unmoved, 300);
        vm.assertGe(moved, 100);
    }

    function test_a_malicious_settler_misplacing_records() public {
        run(2_600, 2);
        vm.assertGe(reverted, 2_300);
    }

    function test_a_malicious_settler_mutating_bytes() public {
        run(2_600, 3);
        vm.assertGe(reverted, 2_000);
        vm.assertGe(moved, 100);
    }

    /// @dev All of this proves nothing if honest batches failed, too.
    function test_the_same_batches_unaltered_settle() public {
        vm.pauseGasMetering();
        for (uint256 i; i < 300; ++i) {
            this.control();
        }
        vm.assertEq(moved, 300);
    }

    function run(uint256 count, uint256 family) internal {
        vm.pauseGasMetering();
        for (uint256 i; i < count; ++i) {
            this.attempt(family, i);
        }
        vm.assertEq(attempts, count);
        vm.assertEq(reverted + moved + unmoved, count);
    }

    function control() external {
        scene();
        Batch memory batch = take();
        require(send(pack(batch), batch.orders), "a good batch");
    }

    /// @dev From outside, so that each attempt has its own memory.
    function attempt(uint256 family, uint256 i) external {
        vm.warp(block.timestamp + draw(1, 20));
        if (family == 0) forge_(i % 8);
        else if (family == 1) abuse(i % 12);
        else if (family == 2) misplace(i % 10);
        else mutate(i % 6);
    }

    /* OUTCOMES */

    /// @return isAccepted What the settlement did; if it accepted, the judge agrees.
    function send(bytes memory packed, Order[] memory signed) internal returns (bool isAccepted) {
        Purses memory before = purses();
        uint64 last = settlement.lastFill();
        ++attempts;
        vm.prank(mallory);
        (isAccepted,) = address(settlement).call(abi.encodeCall(settlement.settle, (packed)));
        if (!isAccepted) {
            ++reverted;
            return false;
        }
        Purses memory later = purses();
        if (isSame(before, later)) ++unmoved;
        else ++moved;
        judge(before, later, signed, settlement.lastFill() - last);
    }

    function mustRevert(bytes memory packed) internal {
        vm.assertFalse(send(packed, new Order[](0)));
    }

    /// @dev Accepted, and every fill refused; or reverted.
    function mustMoveNothing(bytes memory packed, Order[] memory signed) internal {
        uint256 before = moved;
        send(packed, signed);
        vm.assertEq(moved, before, "moved nothing");
    }

    /* SIGNATURES */

    function forge_(uint256 kind) internal {
        if (kind == 5) return agentIsGone();
        scene();
        uint256 victim = draw(0, orders.length - 1);
        Order memory order = orders[victim];
        Batch memory batch;
        if (kind < 3) {
            batch = take();
            alter(batch, victim);
        } else if (kind == 3) {
            uint256 other = personKey((placeOf(order.account) + draw(1, PEOPLE - 1)) % PEOPLE);
            uint256 key = [MALLORY_KEY, COSIGNER_KEY, feesKey, other][draw(0, 3)];
            batch = resigned(victim, key, settlement.domainSeparator());
        } else if (kind == 4) {
            bytes32 separator = draw(0, 1) == 0
                ? separatorOf(block.chainid + draw(1, 1_000), address(settlement))
                : separatorOf(block.chainid, [address(vault), address(ammFactory), address(this)][draw(0, 2)]);
            batch = resigned(victim, ownKey(order.account), separator);
        } else if (kind == 6) {
            uint256 agent = agentKey((placeOf(order.account) + draw(1, PEOPLE - 1)) % PEOPLE);
            batch = resigned(victim, agent, settlement.domainSeparator());
        } else {
            batch = inBulkAltered(victim);
        }
        mustRevert(pack(batch));
    }

    function ownKey(address account) internal returns (uint256) {
        uint256 place = placeOf(account);
        return draw(0, 1) == 0 ? personKey(place) : agentKey(place);
    }

    function resigned(uint256 victim, uint256 key, bytes32 separator) internal returns (Batch memory batch) {
        batch = take();
        batch.proofs[victim].isBulk = false;
        batch.signatures[victim] = sign(key, digestOf(separator, OrderHash.structHash(batch.orders[victim])));
    }

    /// @dev One field is not what was signed.
    function alter(Batch memory batch, uint256 victim) internal {
        Order memory order = batch.orders[victim];
        uint256 field = draw(0, 12);
        if (field == 0) order.account = watched[(placeOf(order.account) + draw(1, PEOPLE - 1)) % PEOPLE];
        else if (field == 1) order.subaccount ^= uint8(draw(1, 255));
        else if (field == 2) order.market = 3 - order.market;
        else if (field == 3) order.side = 1 - order.side;
        else if (field == 4) order.kind = 1 - order.kind;
        else if (field == 5) order.timeInForce = uint8((order.timeInForce + draw(1, 3)) % 4);
        else if (field == 6) order.flags ^= uint16(draw(1, type(uint16).max));
        else if (field == 7) order.priceTicks = other64(order.priceTicks);
        else if (field == 8) order.sizeLots = other64(order.sizeLots);
        else if (field == 9) order.triggerTicks = other64(order.triggerTicks);
        else if (field == 10) order.maxFeePpm += int32(int256(draw(1, 1e6)));
        else if (field == 11) order.nonce = other64(order.nonce);
        else order.expiry = uint40(other64(order.expiry) % 2 ** 40 + (order.expiry == 0 ? 1 : 0));
    }

    function other64(uint64 value) internal returns (uint64 other) {
        other = draw(0, 1) == 0 ? uint64(draw(1, type(uint64).max)) : value + uint64(draw(1, 10));
        if (other == value) ++other;
    }

    /// @dev A tree that holds another order, another place in it, another sibling; or the account's own signature, which
    /// does not count over a tree.
    function inBulkAltered(uint256 victim) internal returns (Batch memory batch) {
        Order memory order = orders[victim];
        uint256 place = placeOf(order.account);
        uint256 kind = draw(0, 3);
        uint16 index = addInBulk(order, kind == 0 ? personKey(place) : agentKey(place));
        batch = take();
        batch.signatures[victim] = batch.signatures[index];
        batch.proofs[victim] = batch.proofs[index];
        if (kind == 1) batch.proofs[victim].position ^= uint8(draw(1, 255));
        if (kind == 2) batch.proofs[victim].siblings[draw(0, 4)] ^= bytes32(draw(1, type(uint256).max));
        if (kind == 3) batch.proofs[victim].isBulk = false;
        Order[] memory kept = batch.orders;
        (bytes[] memory signs, uint256 count) = (batch.signatures, kept.length - 1);
        assembly ("memory-safe") {
            mstore(kept, count)
            mstore(signs, count)
        }
    }

    /// @dev Revoked or expired, and the window for what was matched before is over.
    function agentIsGone() internal {
        uint256 who = draw(0, PEOPLE - 1);
        uint256 other = (who + draw(1, PEOPLE - 1)) % PEOPLE;
        addPair(who, other);
        delete proofs[0];
        signatures[0] = sign(agentKey(who), settlement.hashOrder(orders[0]));
        Batch memory batch = take();
        vm.prank(draw(0, 1) == 0 ? watched[who] : vm.addr(agentKey(who)));
        settlement.revokeAgent(watched[who], vm.addr(agentKey(who)));
        vm.warp(block.timestamp + SETTLEMENT_WINDOW);
        newAgent(who);
        mustMoveNothing(pack(batch), batch.orders);
    }

    /* ORDERS THAT WERE SIGNED */

    function abuse(uint256 kind) internal {
        if (kind == 0) return replay();
        if (kind == 1) return recall();
        if (kind == 2) return supersede();
        if (kind == 3) return expire();
        if (kind == 4) return cancelled();
        if (kind == 5) return withdrawnUnder();
        if (kind == 6) return usedUp();
        if (kind == 7) return withThePool();
        scene();
        uint256 f = draw(0, fills.length - 1);
        if (kind == 8) overLimit(f);
        else if (kind == 9) overFill(f);
        else if (kind == 10) overCharge(f);
        else mispair(f);
        mustRevert(pack(take()));
    }

    /// @dev The same batch again, under the number that is due. What rests of a size may fill, no more.
    function replay() internal {
        scene();
        Batch memory batch = take();
        settleHonestly(batch);
        batch.first = settlement.lastFill() + 1;
        send(pack(batch), batch.orders);
    }

    function settleHonestly(Batch memory batch) internal {
        require(send(pack(batch), batch.orders), "a good batch");
        (--attempts, --moved);
        history.push(pack(batch));
        historyOrders.push(abi.encode(batch.orders));
    }

    /// @dev A batch of long ago.
    function recall() internal {
        if (history.length == 0) {
            replay();
        } else {
            uint256 which = draw(0, history.length - 1);
            bytes memory packed = history[which];
            setFirst(packed, settlement.lastFill() + 1);
            send(packed, abi.decode(historyOrders[which], (Order[])));
        }
    }

    function setFirst(bytes memory packed, uint64 first) internal pure {
        for (uint256 i; i < 8; ++i) {
            packed[i] = bytes1(uint8(first >> (56 - 8 * i)));
        }
    }

    /// @dev The newer order of a slot has filled: the older one is dead, in the same batch and after it.
    function supersede() internal {
        uint256 who = draw(0, PEOPLE - 1);
        uint16 slot = uint16(draw(4, 9));
        Order memory older = resting(watched[who], SIDE_SELL, 10_000, 50, nonceOf(slot, ++sequence));
        Order memory newer = resting(watched[who], SIDE_SELL, 10_100, 50, nonceOf(slot, ++sequence));
        uint256 taker = (who + draw(1, PEOPLE - 1)) % PEOPLE;
        uint16 a = addBy(taker, immediate(watched[taker], SIDE_BUY, 10_100, 20, ++sequence));
        uint16 b = addBy(who, newer);
        match_(b, a, 10);
        bool isLater = draw(0, 1) == 0;
        if (isLater) {
            settleHonestly(take());
            a = addBy(taker, immediate(watched[taker], SIDE_BUY, 10_100, 20, ++sequence));
        }
        match_(addBy(who, older), a, 5);
        Batch memory batch = take();
        deadFrom[idOf(older)] = 1;
        if (isLater) mustMoveNothing(pack(batch), batch.orders);
        else send(pack(batch), batch.orders);
    }

    function expire() internal {
        uint256 who = draw(0, PEOPLE - 1);
        addPair(who, (who + draw(1, PEOPLE - 1)) % PEOPLE);
        uint256 victim = draw(0, 1);
        orders[victim].expiry = uint40(block.timestamp + draw(1, 1 days));
        Batch memory batch = resigned(victim, ownKey(orders[victim].account), settlement.domainSeparator());
        vm.warp(uint256(batch.orders[victim].expiry) + SETTLEMENT_WINDOW + draw(0, 1) * draw(0, 30 days));
        mustMoveNothing(pack(batch), batch.orders);
    }

    function cancelled() internal {
        uint256 who = draw(0, PEOPLE - 1);
        addPair(who, (who + draw(1, PEOPLE - 1)) % PEOPLE);
        Batch memory batch = take();
        Order memory victim = batch.orders[draw(0, 1)];
        uint256 way = draw(0, 2);
        vm.startPrank(victim.account);
        if (way == 0) {
            settlement.cancel(victim.nonce);
        } else if (way == 1) {
            uint64[] memory nonces = new uint64[](2);
            (nonces[0], nonces[1]) = (nonceOf(20, 1), victim.nonce);
            settlement.cancelMany(nonces);
        } else {
            settlement.cancelAll(uint48(victim.nonce) + 1);
        }
        vm.stopPrank();
        vm.warp(block.timestamp + SETTLEMENT_WINDOW);
        deadFrom[idOf(victim)] = block.timestamp;
        mustMoveNothing(pack(batch), batch.orders);
    }

    /// @dev Whoever pays has asked for all of it back. It fills nothing, and the exit completes.
    function withdrawnUnder() internal {
        uint256 who = draw(0, PEOPLE - 1);
        addPair(who, (who + draw(1, PEOPLE - 1)) % PEOPLE);
        (orders[0].expiry, orders[1].expiry) = (0, 0);
        bytes32 separator = settlement.domainSeparator();
        signatures[1] =
            sign(personKey(placeOf(orders[1].account)), digestOf(separator, OrderHash.structHash(orders[1])));
        delete proofs[1];
        Batch memory batch = resigned(0, personKey(who), separator);
        Order memory victim = batch.orders[draw(0, 1)];
        address token =
            victim.side == SIDE_BUY ? address(usdc) : victim.market == BTC_USDC ? address(btc) : address(eth);
        uint128 all = uint128(vault.balanceOf(victim.account, token));
        request(victim.account, token, all);
        vm.warp(block.timestamp + EXIT_DELAY);
        mustMoveNothing(pack(batch), batch.orders);

        vault.completeWithdrawal(victim.account, token);
        vm.assertEq(vault.balanceOf(victim.account, token), 0);
        if (token == address(usdc)) {
            giveUnits(victim.account, all);
        } else {
            vault.mintSynth(token, victim.account, all);
        }
    }

    /// @dev An immediate order has had its batch, and some of its size is left.
    function usedUp() internal {
        uint256 who = draw(0, PEOPLE - 1);
        uint256 taker = (who + draw(1, PEOPLE - 1)) % PEOPLE;
        Order memory cross = immediate(watched[taker], SIDE_BUY, 10_000, 100, ++sequence);
        uint16 a = addBy(taker, cross);
        match_(addBy(who, resting(watched[who], SIDE_SELL, 10_000, 50, nonceOf(4, ++sequence))), a, 10);
        settleHonestly(take());
        a = addBy(taker, cross);
        match_(addBy(who, resting(watched[who], SIDE_SELL, 10_000, 50, nonceOf(4, ++sequence))), a, 10);
        mustRevert(pack(take()));
    }

    /// @dev A quote beyond the limit, a quote that the pool does not give, a size that is not the order's.
    function withThePool() internal {
        uint256 who = draw(0, PEOPLE - 1);
        bool isBuy = draw(0, 1) == 0;
        uint64 size = uint64(draw(2, 100));
        uint64 limit = isBuy ? 10_200 : 9_800;
        uint256 kind = draw(0, 3);
        Order memory order = isBuy ? ammBuy(watched[who], limit, size) : ammSell(watched[who], limit, size);
        order.nonce = nonceOf(0, ++sequence);
        uint16 taker = add(order, personKey(who));
        uint256 edge = uint256(limit) * size;
        uint256 quote;
        if (kind == 0) quote = isBuy ? edge + draw(1, 1e6) : edge - draw(1, edge);
        else quote = isBuy ? draw(1, 9_900 * uint256(size)) : draw(10_100 * uint256(size), 1e12);
        match_(type(uint16).max, taker, kind == 2 ? size - 1 : size, 0, kind == 3 ? CAP + 1 : int32(0));
        ammQuotes.push(uint128(quote));
        Batch memory batch = take();
        mustMoveNothing(pack(batch), batch.orders);
    }

    /// @dev Both orders are signed, and do not cross.
    function overLimit(uint256 f) internal {
        (uint256 m, uint256 t) = (fills[f].maker, fills[f].taker);
        uint64 gap = uint64(draw(1, often(1_000)));
        orders[t].priceTicks = orders[m].side == SIDE_BUY ? orders[m].priceTicks + gap : orders[m].priceTicks - gap;
        signatures[t] = sign(ownKey(orders[t].account), settlement.hashOrder(orders[t]));
        delete proofs[t];
    }

    function overFill(uint256 f) internal {
        (uint256 m, uint256 t) = (fills[f].maker, fills[f].taker);
        uint64 least = orders[m].sizeLots < orders[t].sizeLots ? orders[m].sizeLots : orders[t].sizeLots;
        if (draw(0, 1) == 0 && orders[t].timeInForce != TIF_FOK) {
            // In two parts.
            fills.push(fills[f]);
            (fills[f].sizeLots, fills[fills.length - 1].sizeLots) = (least, uint64(draw(1, 1_000)));
        } else {
            fills[f].sizeLots = least + uint64(draw(1, draw(0, 1) == 0 ? 3 : type(uint64).max - least));
        }
    }

    function overCharge(uint256 f) internal {
        uint256 kind = draw(0, 4);
        (uint256 m, uint256 t) = (fills[f].maker, fills[f].taker);
        int32 beyond = int32(int256(draw(1, often(1e6))));
        if (kind == 0) fills[f].makerFeePpm = orders[m].maxFeePpm + beyond;
        else if (kind == 1) fills[f].takerFeePpm = orders[t].maxFeePpm + beyond;
        else if (kind == 2) fills[f].makerFeePpm = -fills[f].takerFeePpm - beyond;
        else if (kind == 3) fills[f].takerFeePpm = -fills[f].makerFeePpm - beyond;
        // Also where more was signed.
        else fills[f].takerFeePpm = int32(int256(MAX_FEE)) + beyond;
    }

    /// @dev The edge itself every other time.
    function often(uint256 most) internal returns (uint256) {
        return draw(0, 1) == 0 ? 1 : most;
    }

    /// @dev Orders that are not for each other.
    function mispair(uint256 f) internal {
        uint256 kind = draw(0, 5);
        (uint16 m, uint16 t) = (fills[f].maker, fills[f].taker);
        if (kind == 0) {
            fills[f].taker = m;
        } else if (kind == 1) {
            fills[f].maker = t;
        } else if (kind == 2) {
            fills[f].maker = uint16(draw(orders.length, 253));
        } else if (kind == 3) {
            fills[f].taker = uint16(draw(orders.length, 253));
        } else if (kind == 4) {
            orders[t].flags = FLAG_POST_ONLY;
            signatures[t] = sign(ownKey(orders[t].account), settlement.hashOrder(orders[t]));
            delete proofs[t];
        } else {
            // Against the same account's other order.
            Order memory own = orders[t];
            (own.side, own.timeInForce, own.kind, own.nonce) = (1 - own.side, 0, 0, nonceOf(9, ++sequence));
            fills[f].maker = add(own, personKey(placeOf(own.account)));
        }
    }

    /* RECORDS */

    function misplace(uint256 kind) internal {
        scene();
        Batch memory batch = take();
        bytes memory packed = pack(batch);
        (uint256 markets, uint256 accounts, uint256 count) = (uint8(packed[8]), uint8(packed[9]), uint8(packed[10]));
        uint256 accountsAt = HEADER + markets * BatchCodec.MARKET_BYTES;
        uint256 ordersAt = accountsAt + accounts * BatchCodec.ACCOUNT_BYTES;
        if (kind == 0) {
            packed = doubled(packed, 10, ordersAt + draw(0, count - 1) * BatchCodec.ORDER_BYTES, BatchCodec.ORDER_BYTES);
        } else if (kind == 1) {
            swapRecords(packed, ordersAt, BatchCodec.ORDER_BYTES, count);
        } else if (kind == 2) {
            packed = doubled(
                packed, 9, accountsAt + draw(0, accounts - 1) * BatchCodec.ACCOUNT_BYTES, BatchCodec.ACCOUNT_BYTES
            );
        } else if (kind == 3) {
            swapRecords(packed, accountsAt, BatchCodec.ACCOUNT_BYTES, accounts);
        } else if (kind == 4) {
            packed =
                doubled(packed, 8, HEADER + draw(0, markets - 1) * BatchCodec.MARKET_BYTES, BatchCodec.MARKET_BYTES);
        } else if (kind == 5) {
            packed[HEADER + 3 + 4 * draw(0, markets - 1)] = bytes1(uint8(draw(3, 255)));
        } else if (kind == 6) {
            uint256 right = uint8(packed[14]);
            packed[14] = bytes1(uint8((right + draw(1, 255)) % 256));
        } else if (kind == 7) {
            // Somebody else where the fees go: the settler itself, or nobody.
            uint256 at = accountsAt + uint8(packed[14]) * BatchCodec.ACCOUNT_BYTES;
            overwrite(packed, at, abi.encodePacked(draw(0, 1) == 0 ? mallory : address(uint160(draw(0, 1 << 159)))));
        } else if (kind == 8) {
            // A slot's nonce signed for twice, with other terms.
            return twoOfOneNonce();
        } else {
            setFirst(
                packed, uint64(draw(0, 1) == 0 ? draw(0, settlement.lastFill()) : settlement.lastFill() + draw(2, 99))
            );
        }
        mustRevert(packed);
    }

    function twoOfOneNonce() internal {
        uint256 who = draw(0, PEOPLE - 1);
        uint256 taker = (who + draw(1, PEOPLE - 1)) % PEOPLE;
        uint64 nonce = nonceOf(uint16(draw(4, 9)), ++sequence);
        uint16 a = addBy(who, resting(watched[who], SIDE_SELL, 10_000, 50, nonce));
        uint16 b = addBy(who, resting(watched[who], SIDE_SELL, 9_999, 50, nonce));
        uint16 c = addBy(taker, immediate(watched[taker], SIDE_BUY, 10_000, 100, ++sequence));
        match_(a, c, 50);
        match_(b, c, 50);
        mustRevert(pack(take()));
    }

    /// @dev The record at `at` once more behind itself, and counted.
    function doubled(bytes memory packed, uint256 counter, uint256 at, uint256 size)
        internal
        pure
        returns (bytes memory)
    {
        packed[counter] = bytes1(uint8(packed[counter]) + 1);
        return abi.encodePacked(
            slice(packed, 0, at + size), slice(packed, at, at + size), slice(packed, at + size, packed.length)
        );
    }

    /// @dev Two different ones; there are two at least.
    function swapRecords(bytes memory packed, uint256 at, uint256 size, uint256 count) internal {
        uint256 i = draw(0, count - 1);
        uint256 j = (i + draw(1, count - 1)) % count;
        (bytes memory a, bytes memory b) =
            (slice(packed, at + i * size, at + (i + 1) * size), slice(packed, at + j * size, at + (j + 1) * size));
        overwrite(packed, at + i * size, b);
        overwrite(packed, at + j * size, a);
    }

    /* BYTES */

    function mutate(uint256 kind) internal {
        scene();
        Batch memory batch = take();
        bytes memory packed = pack(batch);
        uint256 length = packed.length;
        if (kind == 0) {
            // Anywhere, and often where no signature covers it.
            uint256 fillsAt = length - batch.fills.length * BatchCodec.FILL_BYTES;
            uint256 part = draw(0, 2);
            for (uint256 n = draw(1, 3); n != 0; --n) {
                uint256 at =
                    part == 0 ? draw(0, length - 1) : part == 1 ? draw(8, HEADER - 1) : draw(fillsAt, length - 1);
                packed[at] ^= bytes1(uint8(1 << draw(0, 7)));
            }
            // What was altered was altered: an altered order is nobody's, and the judge hears of the signed ones only.
            send(packed, batch.orders);
            return;
        }
        if (kind == 5) {
            alterFill(packed, length - draw(1, batch.fills.length) * BatchCodec.FILL_BYTES);
            send(packed, batch.orders);
            return;
        }
        uint256 place = draw(0, length);
        bytes memory noise = abi.encodePacked(bytes32(draw(0, type(uint256).max)));
        uint256 size = draw(1, 32);
        if (kind == 1) {
            packed = abi.encodePacked(slice(packed, 0, place), slice(noise, 0, size), slice(packed, place, length));
        } else if (kind == 2) {
            uint256 end = place + size < length ? place + size : length;
            if (place == end) --place;
            packed = abi.encodePacked(slice(packed, 0, place), slice(packed, end, length));
        } else if (kind == 3) {
            packed = slice(packed, 0, draw(0, length - 1));
        } else {
            packed = abi.encodePacked(packed, slice(noise, 0, size));
        }
        mustRevert(packed);
    }

    /// @dev What no signature covers, and may so be within what was signed: who made, who took, size and fees.
    function alterFill(bytes memory packed, uint256 at) internal {
        uint256 field = draw(0, 3);
        if (field == 0) packed[at + draw(0, 1)] = bytes1(uint8(draw(0, 4)));
        else if (field == 1) overwrite(packed, at + 2, abi.encodePacked(uint64(draw(0, 100))));
        else overwrite(packed, at + 7 + 3 * (field - 1), abi.encodePacked(int24(int256(draw(0, 12_000)) - 2_000)));
    }

    function slice(bytes memory from, uint256 start, uint256 end) internal pure returns (bytes memory part) {
        part = new bytes(end - start);
        for (uint256 i; i < part.length; ++i) {
            part[i] = from[start + i];
        }
    }

    function overwrite(bytes memory packed, uint256 at, bytes memory with) internal pure {
        for (uint256 i; i < with.length; ++i) {
            packed[at + i] = with[i];
        }
    }
}
