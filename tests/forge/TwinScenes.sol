// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAmmPair} from "../../contracts/interfaces/IAmmPair.sol";
import {
    AgentTerms,
    FLAG_POST_ONLY,
    KIND_MARKET,
    Order,
    SIDE_BUY,
    SIDE_SELL,
    TIF_FOK,
    TIF_GTD,
    TIF_IOC
} from "../../contracts/interfaces/Types.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {Pool} from "./Pool.sol";
import {AMM_MAKER_INDEX, Batch, BulkProof, Fill} from "./ReadableSettlement.sol";

/// @title A venue on which anything may have happened, and batches of anything
/// @dev Six accounts, one of which earns the fees, two pools, two agents each: one for everything, and one that soon
/// runs out. What is drawn is wrong now and then; nothing here knows what settlement will say.
abstract contract TwinScenes is Pool {
    uint256 internal constant PEOPLE = 6;
    uint16 internal constant SLOTS = 3;
    uint256 internal constant MANY = type(uint256).max;
    /// @dev A market of larger lots: two columns for three markets.
    uint32 internal constant LARGE_BTC_USDC = 3;
    uint128 internal constant LARGE = 10;

    uint256[PEOPLE] internal keys;
    address[PEOPLE] internal people;
    uint256 internal entropy;
    uint48 internal sequence;
    /// @dev Of both agents of each; a key is taken anew when the last one still binds.
    uint256[2][PEOPLE] internal generations;
    address[2][PEOPLE] internal agents;
    /// @dev What rests, by person and slot.
    mapping(uint256 person => mapping(uint16 slot => Order)) internal standing;
    /// @dev Lots that the batch in the making wants of each of its orders.
    uint256[] internal planned;
    bool[2] internal hasLeg;

    function setUp() public virtual override {
        super.setUp();
        settlement.listMarket(LARGE_BTC_USDC, address(btc), LARGE * BASE_PER_LOT, uint64(LARGE), "LARGE-USDC");
        giveUnits(address(btcPool), 5);
        giveLots(address(btcPool), 3);
        for (uint256 i; i < PEOPLE; ++i) {
            keys[i] = i == PEOPLE - 1 ? feesKey : 0x70000 + i;
            people[i] = vm.addr(keys[i]);
            giveUnits(people[i], 4_000_000);
            giveLots(people[i], 400);
            vault.mintSynth(address(eth), people[i], 400 * BASE_PER_LOT);
            renewAgent(i, 0);
            renewAgent(i, 1);
        }
    }

    /* CHANCE */

    function draw(uint256 low, uint256 high) internal returns (uint256) {
        uint256 next = uint256(keccak256(abi.encode(entropy)));
        entropy = next;
        return low + next % (high - low + 1);
    }

    function isOnceIn(uint256 count) internal returns (bool) {
        return draw(1, count) == 1;
    }

    function somebodyElse(address account) internal returns (uint256 person) {
        person = draw(0, PEOPLE - 1);
        if (people[person] == account) person = (person + 1) % PEOPLE;
    }

    function personOf(address account) internal view returns (uint256 person) {
        while (people[person] != account) ++person;
    }

    /* WHAT HAPPENS BETWEEN BATCHES */

    function happen() internal {
        vm.warp(block.timestamp + draw(1, 90));
        uint256 person = draw(0, PEOPLE - 1);
        // Fills that bind later are matched by then.
        uint48 near = sequence + uint48(draw(0, 80));
        uint256 kind = draw(0, 11);
        if (kind < 3) {
            vm.prank(people[person]);
            if (kind == 0) settlement.cancel(nonceOf(uint16(draw(1, SLOTS)), near));
            else if (kind == 1) settlement.cancel(nonceOf(0, near));
            else settlement.cancelAll(near);
        } else if (kind == 3) {
            requestOrNot(person, [address(usdc), address(btc), address(eth)][draw(0, 2)]);
        } else if (kind < 6) {
            giveUnits(people[person], draw(1, 3_000_000));
        } else if (kind < 8) {
            vault.mintSynth(kind == 6 ? address(btc) : address(eth), people[person], draw(1, 400) * BASE_PER_LOT);
        } else if (kind < 10) {
            renewAgent(person, kind % 2);
        } else {
            (SynthERC20 base, IAmmPair pair) = kind == 10 ? (btc, btcPool) : (eth, ethPool);
            if (isOnceIn(2)) sellTo(pair, base, draw(1, 2_000) * BASE_PER_LOT);
            else buyFrom(pair, draw(1, 20_000_000));
        }
    }

    function requestOrNot(uint256 person, address token) internal {
        if (vault.requestOf(people[person], token).amount == 0) {
            request(people[person], token, uint128(1 + draw(1, 100) * vault.balanceOf(people[person], token) / 80));
        } else {
            vm.prank(people[person]);
            vault.cancelWithdrawalRequest(token);
        }
    }

    function agentKey(uint256 person, uint256 which, uint256 generation) internal pure returns (uint256) {
        return 0xA9000000 + person * 0x100000 + which * 0x80000 + generation;
    }

    /// @return agent A key that was never used.
    function takeAgent(uint256 person, uint256 which) internal returns (address agent) {
        agent = vm.addr(agentKey(person, which, ++generations[person][which]));
        agents[person][which] = agent;
    }

    /// @dev Revokes it or not, and registers the same key again if it is over, or else a new one.
    function renewAgent(uint256 person, uint256 which) internal {
        address agent = agents[person][which];
        if (agent == address(0)) {
            agent = takeAgent(person, which);
        } else if (isOnceIn(2)) {
            vm.prank(isOnceIn(2) ? people[person] : agent);
            try settlement.revokeAgent(people[person], agent) {} catch {} // solhint-disable-line no-empty-blocks
        }

        AgentTerms memory terms = AgentTerms(agent, type(uint40).max, type(uint128).max - 1, new uint32[](0));
        if (which == 0 && isOnceIn(3)) terms.notional = type(uint128).max; // not counted
        if (which == 1) {
            terms.expiry = uint40(block.timestamp + draw(1, 3_600));
            terms.notional = uint128(draw(1, 3_000_000));
            if (isOnceIn(2)) terms.markets = new uint32[](1);
            if (terms.markets.length != 0) terms.markets[0] = BTC_USDC;
        }
        vm.prank(people[person]);
        try settlement.registerAgent(terms) {}
        catch {
            terms.agent = takeAgent(person, which);
            vm.prank(people[person]);
            settlement.registerAgent(terms);
        }
    }

    /* A BATCH */

    function scene() internal {
        uint256 count = isOnceIn(12) ? draw(7, 14) : draw(1, 6);
        while (fills.length < count) {
            uint256 kind = draw(0, 34);
            if (kind < 12) planFill(MANY, MANY);
            else if (kind < 20) planAnother();
            else if (kind < 26) planGroup();
            else if (kind < 32) planLeg(draw(0, 1));
            else if (kind < 34) planNothing();
            else planHuge();
        }
        delete planned;
        delete hasLeg;
    }

    /// @dev The order's place in the batch; if one of the same nonce is there already, that one's.
    function list(uint256 person, Order memory order) internal returns (uint16 index) {
        for (; index < orders.length; ++index) {
            if (orders[index].account == order.account && orders[index].nonce == order.nonce) return index;
        }
        planned.push(0);
        uint256 form = draw(0, 19);
        uint256 which = form % 4 == 3 ? 1 : 0;
        uint256 generation = generations[person][which];
        if (form < 10) return add(order, keys[person]);
        if (form < 16) return add(order, agentKey(person, which, generation));
        if (form == 16) return add(order, agentKey(person, which, draw(1, generation)));
        return addLeaf(order, isOnceIn(60) ? keys[person] : agentKey(person, which, generation));
    }

    function addLeaf(Order memory order, uint256 key) internal returns (uint16) {
        bytes32[5] memory siblings;
        for (uint256 level; level < 5; ++level) {
            if (isOnceIn(2)) siblings[level] = bytes32(draw(1, type(uint256).max));
        }
        return addBulk(order, key, uint8(isOnceIn(60) ? draw(32, 255) : draw(0, 31)), siblings);
    }

    /// @dev One that rests: the one that does already, a new one in its slot, or one that was there before.
    function listMaker(uint256 person, uint32 market, uint8 side, uint64 price, uint64 size)
        internal
        returns (uint16 index)
    {
        uint16 slot = uint16(draw(1, SLOTS));
        Order memory known = standing[person][slot];
        if (known.sizeLots != 0 && known.market == market && known.side == side && isOnceIn(2)) {
            return list(person, known);
        }
        Order memory order = resting(people[person], side, price, size, nonceOf(slot, ++sequence));
        order.market = market;
        expire(order);
        if (isOnceIn(3)) order.flags = FLAG_POST_ONLY;
        if (uint48(known.nonce) > 30 && isOnceIn(8)) order.nonce = known.nonce - uint64(draw(1, 30));
        else standing[person][slot] = order;
        return list(person, order);
    }

    function expire(Order memory order) internal {
        if (!isOnceIn(4)) return;
        if (order.timeInForce != TIF_FOK && order.timeInForce != TIF_IOC) order.timeInForce = TIF_GTD;
        order.expiry = uint40(block.timestamp + 600 - draw(0, 1_000));
    }

    function listTaker(uint256 person, Order memory maker, uint64 size, uint256 form) internal returns (uint16) {
        uint64 slack = maker.priceTicks < 20_000 && maker.priceTicks > 1 ? uint64(draw(0, 300)) : 0;
        bool isBuy = maker.side == SIDE_SELL;
        Order memory order = immediate(people[person], isBuy ? SIDE_BUY : SIDE_SELL, maker.priceTicks, size, ++sequence);
        order.market = maker.market;
        // Nobody crosses its limit but once in a while.
        order.priceTicks = isBuy != isOnceIn(80) ? order.priceTicks + slack : order.priceTicks - slack;
        if (form == 0) order.timeInForce = TIF_FOK;
        if (form == 1) order.kind = KIND_MARKET;
        if (form == 2) (order.timeInForce, order.nonce) = (0, nonceOf(uint16(draw(1, SLOTS)), sequence));
        expire(order);
        if (isOnceIn(150)) order.flags = FLAG_POST_ONLY;
        if (isOnceIn(150)) order.nonce = nonceOf(uint16(draw(0, 1)), uint48(draw(0, sequence)));
        if (isOnceIn(100)) order.market = uint32(draw(1, 4));
        if (isOnceIn(200)) order.side = 1 - order.side;
        return list(person, order);
    }

    function leftOf(uint256 index) internal view returns (uint256) {
        Order memory order = orders[index];
        (uint48 top, uint64 filled) = settlement.slotOf(order.account, uint16(order.nonce >> 48));
        uint256 gone = planned[index] + (top == uint48(order.nonce) ? filled : 0);
        return gone < order.sizeLots ? order.sizeLots - gone : 0;
    }

    function enter(uint16 maker, uint16 taker, uint256 lots) internal {
        planned[maker] += lots;
        planned[taker] += lots;
        int32 takerPpm = int32(int256(draw(500, 3_500)));
        match_(maker, taker, uint64(lots), int32(int256(draw(0, 3_000))) - 500, takerPpm);
    }

    /// @param maker Index of an order that is there, or MANY.
    /// @param taker The same.
    function planFill(uint256 maker, uint256 taker) internal {
        if (maker == MANY) {
            uint256 person = draw(0, PEOPLE - 1);
            uint32 market = uint32(draw(1, 3));
            (uint8 side, uint64 price) = (uint8(draw(0, 1)), uint64(draw(9_000, 11_000)));
            if (taker != MANY) {
                Order memory order = orders[taker];
                (person, market) = (somebodyElse(order.account), order.market);
                (side, price) = (1 - order.side, order.priceTicks);
            }
            maker = listMaker(person, market, side, price, uint64(draw(1, 150)));
        }
        if (taker == MANY) {
            taker = listTaker(somebodyElse(orders[maker].account), orders[maker], uint64(draw(1, 150)), draw(1, 4));
        }
        uint256 most = leftOf(maker) < leftOf(taker) ? leftOf(maker) : leftOf(taker);
        if (most != 0) enter(uint16(maker), uint16(taker), isOnceIn(4) ? most : draw(1, most));
        else if (isOnceIn(8)) enter(uint16(maker), uint16(taker), 1);
    }

    /// @dev Another fill of an order of the batch.
    function planAnother() internal {
        if (fills.length == 0) return planFill(MANY, MANY);
        Fill memory fill = fills[draw(0, fills.length - 1)];
        if (fill.sizeLots == 0 || fill.maker == AMM_MAKER_INDEX) return planFill(MANY, MANY);
        bool isFillOrKill = orders[fill.taker].timeInForce == TIF_FOK;
        if (isFillOrKill && isOnceIn(8)) planGroupAgain(fill.taker);
        else if (isFillOrKill || isOnceIn(2)) planFill(fill.maker, MANY);
        else planFill(MANY, fill.taker);
    }

    /// @dev A fill-or-kill order against up to three makers, of which some may be in the batch already.
    function planGroup() internal {
        uint256 count = draw(1, 3);
        uint16[] memory makers = new uint16[](count);
        uint256[] memory lots = new uint256[](count);
        Order memory like = orderLike();
        uint256 taker = somebodyElse(like.account);
        uint256 sum;
        for (uint256 i; i < count; ++i) {
            makers[i] = isOnceIn(2) ? seek(like, people[taker]) : type(uint16).max;
            if (makers[i] == type(uint16).max) {
                uint256 person = somebodyElse(people[taker]);
                makers[i] = listMaker(person, like.market, like.side, like.priceTicks, uint64(draw(1, 150)));
            }
            uint256 left = leftOf(makers[i]);
            lots[i] = left == 0 ? (isOnceIn(8) ? 1 : 0) : draw(1, left);
            planned[makers[i]] += lots[i];
            sum += lots[i];
        }
        if (isOnceIn(30)) ++sum;
        if (sum == 0) return;
        // Whatever the makers want: those that rest already may have other prices.
        like.priceTicks = like.side == SIDE_SELL ? 11_000 : 9_000;
        uint16 index = listTaker(taker, like, uint64(sum), 0);
        for (uint256 i; i < count; ++i) {
            planned[makers[i]] -= lots[i];
            if (lots[i] != 0) enter(makers[i], index, lots[i]);
        }
    }

    /// @dev All of a fill-or-kill order that has its fills already.
    function planGroupAgain(uint16 taker) internal {
        Order memory order = orders[taker];
        uint256 person = somebodyElse(order.account);
        enter(listMaker(person, order.market, 1 - order.side, order.priceTicks, order.sizeLots), taker, order.sizeLots);
    }

    function orderLike() internal returns (Order memory order) {
        if (fills.length != 0 && isOnceIn(2)) {
            Fill memory fill = fills[draw(0, fills.length - 1)];
            if (fill.maker < orders.length) return orders[fill.maker];
        }
        order = resting(people[draw(0, PEOPLE - 1)], uint8(draw(0, 1)), uint64(draw(9_000, 11_000)), 1, 1);
        order.market = uint32(draw(1, 3));
    }

    /// @return index Of an order that rests and trades the same way; 2^16 - 1 if there is none.
    function seek(Order memory like, address notOf) internal view returns (uint16 index) {
        for (; index < orders.length; ++index) {
            Order memory order = orders[index];
            bool isSame = order.market == like.market && order.side == like.side && order.nonce >> 48 != 0;
            if (isSame && order.account != notOf && leftOf(index) != 0) return index;
        }
        return type(uint16).max;
    }

    function planLeg(uint256 which) internal {
        if (hasLeg[which] && !isOnceIn(20)) return planFill(MANY, MANY);
        hasLeg[which] = true;
        (SynthERC20 base, IAmmPair pair) = which == 0 ? (btc, btcPool) : (eth, ethPool);
        uint256 person = draw(0, PEOPLE - 1);
        (uint64 lots, bool isBuy) = (uint64(draw(1, 150)), isOnceIn(2));
        uint32 market = which == 1 ? ETH_USDC : isOnceIn(2) ? BTC_USDC : LARGE_BTC_USDC;
        uint256 amount = market == LARGE_BTC_USDC ? LARGE * lots : lots;
        // Around what the pool wants or gives now.
        uint256 quote = isBuy ? cost(base, pair, amount) : proceeds(base, pair, amount);
        quote = quote * draw(9_950, 10_050) / 10_000;
        Order memory order = amm(people[person], isBuy ? SIDE_BUY : SIDE_SELL, isBuy ? 20_000 : 5_000, lots, ++sequence);
        order.market = market;
        if (isOnceIn(2)) order.timeInForce = TIF_FOK;
        expire(order);
        uint16 index = list(person, order);
        fills.push(Fill(AMM_MAKER_INDEX, index, lots, 0, int32(int256(draw(0, 3_000)))));
        ammQuotes.push(uint128(quote));
    }

    /// @dev At the ends of what an order can say.
    function planHuge() internal {
        uint64[2] memory ends = [1, type(uint64).max];
        uint64 size = ends[draw(0, 1)];
        uint256 person = draw(0, PEOPLE - 1);
        uint16 maker = listMaker(person, uint32(draw(1, 3)), uint8(draw(0, 1)), ends[draw(0, 1)], size);
        enter(maker, listTaker(somebodyElse(people[person]), orders[maker], size, draw(1, 4)), size);
    }

    /// @dev Taken back; who it names means nothing.
    function planNothing() internal {
        fills.push(Fill(uint16(draw(0, 20)), uint16(draw(0, 20)), 0, int32(int256(draw(0, 99_999))), 7));
    }

    /* WHAT IS DONE TO A BATCH */

    /// @dev Something that no honest operator does, or that only looks so.
    function spoil(Batch memory batch) internal {
        uint256 kind = draw(0, 15);
        uint256 i = draw(0, batch.fills.length - 1);
        if (kind == 0) batch.first = batch.first + uint64(draw(0, 2)) - 1;
        if (kind == 1) batch.fills[i].taker = uint16(draw(0, 20));
        if (kind == 2) batch.fills[i].maker = uint16(draw(0, 20));
        if (kind == 3) batch.fills[i].sizeLots ^= uint64(draw(1, 3));
        if (kind == 4) batch.fills[i].makerFeePpm = int32(int256(draw(0, 20_000))) - 4_000;
        if (kind == 5) batch.fills[i].takerFeePpm = int32(int256(draw(0, 20_000))) - 4_000;
        if (kind == 6) batch.fills[i].sizeLots = 0;
        if (kind == 7) {
            uint256 j = draw(0, batch.fills.length - 1);
            (batch.fills[i], batch.fills[j]) = (batch.fills[j], batch.fills[i]);
        }
        if (kind == 8) batch.ammQuotes = new uint128[](draw(0, 2));
        if (kind > 8 && batch.orders.length != 0) spoilOrder(batch, kind, draw(0, batch.orders.length - 1));
    }

    function spoilOrder(Batch memory batch, uint256 kind, uint256 i) internal {
        uint256 j = draw(0, batch.orders.length - 1);
        BulkProof memory proof = batch.proofs[i];
        if (kind == 9) {
            (batch.orders[i], batch.orders[j]) = (batch.orders[j], batch.orders[i]);
            (batch.signatures[i], batch.signatures[j]) = (batch.signatures[j], batch.signatures[i]);
            (batch.proofs[i], batch.proofs[j]) = (batch.proofs[j], batch.proofs[i]);
        }
        if (kind == 10) {
            (batch.orders[i], batch.signatures[i], batch.proofs[i]) =
            (batch.orders[j], batch.signatures[j], batch.proofs[j]);
        }
        if (kind == 11) batch.signatures[i] = batch.signatures[j];
        if (kind == 12) batch.orders[i].market = uint32(draw(0, 4));
        if (kind == 13) batch.orders[i].sizeLots = isOnceIn(2) ? 0 : batch.orders[i].sizeLots ^ 1;
        if (kind == 14) batch.orders[i].priceTicks = isOnceIn(2) ? 0 : batch.orders[i].priceTicks ^ 1;
        if (kind == 15 && !proof.isBulk) proof.isBulk = true;
        else if (kind == 15) proof.siblings[draw(0, 4)] = bytes32(draw(0, 1));
    }
}
