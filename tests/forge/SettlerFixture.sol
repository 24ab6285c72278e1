// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {
    AgentTerms,
    FLAG_AMM,
    KIND_MARKET,
    Order,
    SETTLEMENT_WINDOW,
    SIDE_BUY,
    SIDE_SELL,
    TIF_FOK,
    TIF_GTD,
    TIF_IOC
} from "../../contracts/interfaces/Types.sol";
import {Pool} from "./Pool.sol";
import {Batch} from "./ReadableSettlement.sol";

/// @title Honest orders for a dishonest settler, and a judge of what became of them
/// @dev The judge knows what was signed, and nothing of how settlement works: what an account pays or gives must be
/// explained by its own orders, at their limits and fee caps, up to their sizes, while they live.
abstract contract SettlerFixture is Pool {
    uint256 internal constant PEOPLE = 6;
    uint256 internal constant WEALTH = 1e15;
    uint256 internal constant MALLORY_KEY = 0xBAD;
    uint256 internal constant MAX_FEE = 10_000;
    bytes32 internal constant DOMAIN_TYPE_HASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    /// @dev Balances of the accounts of `watched`, in units, tBTC and tETH.
    struct Purses {
        uint256[3][] held;
    }

    address internal mallory = vm.addr(MALLORY_KEY);
    address[] internal watched;
    address[] internal tokens;
    uint256 internal seed = uint256(keccak256("settler"));
    uint256 internal drawn;
    uint48 internal sequence;

    uint256[PEOPLE] internal generation;
    /// @dev Whoever signs otherwise than in the plain way: for the attempt that is being made.
    uint256[] internal signerKeys;

    /* WHAT THE JUDGE KNOWS */

    mapping(bytes32 order => uint256) internal filledOf;
    mapping(bytes32 order => uint256) internal deadFrom;
    mapping(address account => mapping(uint256 slot => uint48)) internal topOf;
    mapping(address account => uint48) internal usedImmediate;

    function setUp() public virtual override {
        super.setUp();
        settlement.grantRole(settlement.SETTLER_ROLE(), mallory);
        tokens = [address(usdc), address(btc), address(eth)];
        for (uint256 i; i < PEOPLE; ++i) {
            address user = vm.addr(personKey(i));
            watched.push(user);
            giveUnits(user, WEALTH);
            giveLots(user, 1e12);
            vault.mintSynth(address(eth), user, 1e12 * BASE_PER_LOT);
            newAgent(i);
        }
        watched.push(mallory);
        watched.push(fees);
        watched.push(TREASURY);
        watched.push(INSURANCE);
        watched.push(address(btcPool));
        watched.push(address(ethPool));
        giveUnits(mallory, WEALTH);
        giveLots(mallory, 1e12);
        giveUnits(fees, WEALTH);
    }

    function draw(uint256 low, uint256 high) internal returns (uint256) {
        return bound(uint256(keccak256(abi.encode(seed, ++drawn))), low, high);
    }

    /* KEYS */

    function personKey(uint256 i) internal pure returns (uint256) {
        return 0x50000 + i;
    }

    function agentKey(uint256 i) internal view returns (uint256) {
        return 0xA9000000 + i * 0x10000 + generation[i];
    }

    function placeOf(address account) internal view returns (uint256 place) {
        while (watched[place] != account) ++place;
    }

    function newAgent(uint256 i) internal {
        ++generation[i];
        vm.prank(watched[i]);
        settlement.registerAgent(AgentTerms(vm.addr(agentKey(i)), type(uint40).max, type(uint128).max, new uint32[](0)));
    }

    /* HONEST ORDERS */

    /// @dev Adds one or two pairs of orders that trade with each other, each of another person, and their fills.
    function scene() internal {
        uint256[PEOPLE] memory order;
        for (uint256 i; i < PEOPLE; ++i) {
            uint256 j = draw(0, i);
            order[i] = order[j];
            order[j] = i;
        }
        uint256 pairs = draw(1, 2);
        for (uint256 k; k < pairs; ++k) {
            addPair(order[2 * k], order[2 * k + 1]);
        }
    }

    function addPair(uint256 maker, uint256 taker) internal {
        uint32 market = draw(0, 1) == 0 ? BTC_USDC : ETH_USDC;
        uint8 side = uint8(draw(SIDE_BUY, SIDE_SELL));
        uint64 price = uint64(draw(9_000, 11_000));
        uint64 slack = uint64(draw(0, 500));
        uint64 size = uint64(draw(2, 200));
        Order memory rest = resting(watched[maker], side, price, size, nonceOf(uint16(draw(1, 3)), ++sequence));
        uint64 limit = side == SIDE_BUY ? price - slack : price + slack;
        Order memory cross = immediate(watched[taker], 1 - side, limit, uint64(draw(2, size)), ++sequence);
        (rest.market, cross.market) = (market, market);
        uint256 form = draw(0, 3);
        if (form == 0) cross.timeInForce = TIF_FOK;
        if (form == 1) cross.kind = KIND_MARKET;
        if (form == 2) (cross.timeInForce, cross.nonce) = (TIF_GTD, nonceOf(uint16(draw(1, 3)), sequence));
        (rest.subaccount, cross.subaccount) = (uint8(draw(0, 255)), uint8(draw(0, 255)));
        (rest.expiry, cross.expiry) = (anyExpiry(), anyExpiry());

        int32 makerPpm = int32(int256(draw(0, 3_000))) - 500;
        int32 takerPpm = int32(int256(draw(500, 5_000)));
        rest.maxFeePpm = makerPpm + int32(int256(draw(0, 2) * 50));
        cross.maxFeePpm = takerPpm + int32(int256(draw(0, 2) * 5_000));
        uint64 lots = form == 0 ? cross.sizeLots : uint64(draw(1, cross.sizeLots));
        match_(addBy(maker, rest), addBy(taker, cross), lots, makerPpm, takerPpm);
    }

    function anyExpiry() internal returns (uint40) {
        return draw(0, 2) == 0 ? 0 : uint40(block.timestamp + draw(1, 1 days));
    }

    /// @dev Signed by the account, by its agent, or by its agent among others.
    function addBy(uint256 i, Order memory order) internal returns (uint16 index) {
        uint256 kind = draw(0, 4);
        if (kind == 4) return addInBulk(order, agentKey(i));
        return add(order, kind == 3 ? agentKey(i) : personKey(i));
    }

    function addInBulk(Order memory order, uint256 key) internal returns (uint16) {
        bytes32[5] memory siblings;
        uint8 position = uint8(draw(0, 31));
        for (uint256 level; level < 5; ++level) {
            siblings[level] = draw(0, 1) == 0 ? bytes32(0) : bytes32(draw(1, type(uint256).max));
        }
        return addBulk(order, key, position, siblings);
    }

    function separatorOf(uint256 chain, address verifier) internal pure returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE_HASH, keccak256("HOOATS"), keccak256("1"), chain, verifier));
    }

    /* THE JUDGE */

    function purses() internal view returns (Purses memory p) {
        (,,, uint256[][] memory balances) = vault.reconcile(watched, tokens);
        p.held = new uint256[3][](watched.length);
        for (uint256 i; i < watched.length; ++i) {
            p.held[i] = [balances[i][0], balances[i][1], balances[i][2]];
        }
    }

    function isSame(Purses memory a, Purses memory b) internal pure returns (bool) {
        return keccak256(abi.encode(a)) == keccak256(abi.encode(b));
    }

    function idOf(Order memory order) internal pure returns (bytes32) {
        return keccak256(abi.encode(order));
    }

    /// @dev What may still be filled of an order that its account signed.
    function leftOf(Order memory order) internal view returns (uint256) {
        bytes32 id = idOf(order);
        bool isExpired = order.expiry != 0 && block.timestamp >= uint256(order.expiry) + SETTLEMENT_WINDOW;
        bool isDead = deadFrom[id] != 0 && block.timestamp >= deadFrom[id];
        uint48 number = uint48(order.nonce);
        uint256 slot = order.nonce >> 48;
        bool isOld = slot == 0 ? number <= usedImmediate[order.account] : number < topOf[order.account][slot];
        return isExpired || isDead || isOld ? 0 : order.sizeLots - filledOf[id];
    }

    /// @dev Rounded against the account.
    function feeOf(uint256 notional, int32 cap) internal pure returns (int256) {
        int256 rate = cap > int256(MAX_FEE) ? int256(MAX_FEE) : int256(cap);
        int256 product = int256(notional) * rate;
        return product >= 0 ? (product + 999_999) / 1e6 : product / 1e6;
    }

    /// @param signed Everything that the accounts signed and the settler used.
    /// @param fillCount A unit of rounding for each.
    function judge(Purses memory a, Purses memory b, Order[] memory signed, uint256 fillCount) internal {
        int256[3] memory sums;
        for (uint256 i; i < watched.length; ++i) {
            int256[3] memory change;
            for (uint256 t; t < 3; ++t) {
                change[t] = int256(b.held[i][t]) - int256(a.held[i][t]);
                sums[t] += change[t];
            }
            if (watched[i] == fees) {
                vm.assertGe(change[0], 0);
                vm.assertTrue(change[1] == 0 && change[2] == 0, "fees are in units");
            } else {
                int256 least =
                    explain(watched[i], BTC_USDC, change[1], signed) + explain(watched[i], ETH_USDC, change[2], signed);
                bool isParty = change[1] != 0 || change[2] != 0;
                vm.assertGe(change[0], least - (isParty ? int256(fillCount) : int256(0)));
                if (!isParty) vm.assertEq(change[0], 0);
            }
        }
        vm.assertTrue(sums[0] == 0 && sums[1] == 0 && sums[2] == 0, "conserved");
        retire(signed);
    }

    /// @dev Enters the fills that explain `change` atoms of the base token, best price for the settler first.
    /// @return least What the account must have got in units at least, negative for what it paid at most.
    function explain(address account, uint32 market, int256 change, Order[] memory signed)
        internal
        returns (int256 least)
    {
        if (change == 0) return 0;
        uint8 side = change > 0 ? SIDE_BUY : SIDE_SELL;
        uint256 atoms = uint256(change > 0 ? change : -change);
        vm.assertEq(atoms % BASE_PER_LOT, 0, "whole lots");
        uint256 lots = atoms / BASE_PER_LOT;
        while (lots != 0) {
            uint256 found = type(uint256).max;
            for (uint256 i; i < signed.length; ++i) {
                Order memory order = signed[i];
                bool isCandidate = order.account == account && order.market == market && order.side == side
                    && order.flags & FLAG_AMM == 0 && leftOf(order) != 0;
                if (!isCandidate) continue;
                if (found == type(uint256).max || isWorse(order, signed[found])) found = i;
            }
            vm.assertTrue(found != type(uint256).max, "moved without an order");
            Order memory used = signed[found];
            uint256 part = lots < leftOf(used) ? lots : leftOf(used);
            filledOf[idOf(used)] += part;
            lots -= part;
            uint256 notional = part * used.priceTicks * QUOTE_PER_TICK_LOT;
            int256 fee = feeOf(notional, used.maxFeePpm);
            least += side == SIDE_BUY ? -int256(notional) - fee : int256(notional) - fee;
            if (used.timeInForce == TIF_FOK) vm.assertEq(filledOf[idOf(used)], used.sizeLots, "all or none");
        }
    }

    function isWorse(Order memory a, Order memory b) private pure returns (bool) {
        return a.side == SIDE_BUY ? a.priceTicks > b.priceTicks : a.priceTicks < b.priceTicks;
    }

    /// @dev After a batch that was accepted: immediate orders are used up, older ones of a filled slot are dead.
    function retire(Order[] memory signed) internal {
        for (uint256 i; i < signed.length; ++i) {
            Order memory order = signed[i];
            (uint256 slot, uint48 number) = (order.nonce >> 48, uint48(order.nonce));
            if (slot == 0) {
                if (number > usedImmediate[order.account]) usedImmediate[order.account] = number;
            } else if (filledOf[idOf(order)] != 0 && number > topOf[order.account][slot]) {
                topOf[order.account][slot] = number;
            }
        }
    }
}
