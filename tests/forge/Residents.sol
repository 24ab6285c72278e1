// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AmmPair} from "../../contracts/AmmPair.sol";
import {AmmRouter} from "../../contracts/AmmRouter.sol";
import {IAmmRouter} from "../../contracts/interfaces/IAmmRouter.sol";
import {IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";
import {IPriceSource} from "../../contracts/interfaces/IPriceSource.sol";
import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {AgentTerms, Order, SIDE_BUY, SIDE_SELL, Withdrawal} from "../../contracts/interfaces/Types.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {PriceOracle} from "../../contracts/PriceOracle.sol";
import {SynthIssuer} from "../../contracts/SynthIssuer.sol";
import {Fixture} from "./Fixture.sol";

/// @title A venue in full use: as many users as wanted, each with something of everything that it offers
/// @dev Who owes, holds, provides liquidity or has asked for a withdrawal follows from the user's number, all amounts
/// from a seed. What trading does to the balances is kept beside the contracts in the plainest way.
abstract contract Residents is Fixture {
    uint256 internal constant PRICE = 60_000e6;
    uint64 internal constant PRICE_TICKS = 600_000;
    uint256 internal constant PRICE_ATOMS = 1e18;
    uint256 internal constant FIRST_KEY = 0x10000;
    uint256 internal constant AGENT_KEY = 0xA9E0000;
    uint256 internal constant FILLS_PER_BATCH = 20;

    address[3] internal posters = [address(0xA), address(0xB), address(0xC)];
    PriceOracle internal prices;
    AmmPair internal pair;
    AmmRouter internal router;

    uint256 internal drawn;
    uint256 internal seed;
    address[] internal users;
    /// @dev The resting order of each user, partly filled.
    Order[] internal standing;
    mapping(address user => uint256) internal unitsOf;
    mapping(address user => uint256) internal synthOf;

    function setUp() public virtual override {
        super.setUp();
        prices = new PriceOracle(address(this));
        prices.grantRole(prices.LISTER_ROLE(), address(this));
        for (uint256 i; i < 3; ++i) {
            prices.grantRole(prices.POSTER_ROLE(), posters[i]);
        }
        prices.configure(address(btc), IPriceOracle.Feed(2, 3_600, 1_000_000, new IPriceSource[](0)));
        post(PRICE);

        issuer = new SynthIssuer(address(this), address(vault), address(prices));
        vault.revokeRole(vault.CORE_ROLE(), address(this));
        vault.grantRole(vault.CORE_ROLE(), address(issuer));
        issuer.grantRole(issuer.LISTER_ROLE(), address(this));
        issuer.configure(address(btc), ISynthIssuer.Terms(type(uint128).max, 150, 120, 10));
        router = new AmmRouter(address(ammFactory));
        pair = AmmPair(ammFactory.createPair(address(btc)));
    }

    /* CHANCE */

    function draw(uint256 low, uint256 high) internal returns (uint256) {
        return bound(uint256(keccak256(abi.encode(seed, ++drawn))), low, high);
    }

    function userKey(uint256 i) internal pure returns (uint256) {
        return FIRST_KEY + i;
    }

    /// @dev Every other user trades through an agent.
    function signerKey(uint256 i) internal pure returns (uint256) {
        return i % 2 == 0 ? userKey(i) : AGENT_KEY + i;
    }

    /* PRICES */

    /// @dev Two posters of three are a quorum.
    function post(uint256 price) internal {
        (address[] memory synths, uint256[] memory posted) = (new address[](1), new uint256[](1));
        (synths[0], posted[0]) = (address(btc), price);
        for (uint256 i; i < 3; ++i) {
            vm.prank(posters[i]);
            prices.post(synths, posted);
        }
    }

    /* MOVING IN */

    function isDebtor(uint256 i) internal pure returns (bool) {
        return i % 3 != 2;
    }

    function moveIn(uint256 count, uint256 seed_) internal {
        seed = seed_;
        for (uint256 i; i < count; ++i) {
            users.push(vm.addr(userKey(i)));
            _deposit(i);
        }
        for (uint256 i; i < count; i += FILLS_PER_BATCH) {
            _trade(i, i + FILLS_PER_BATCH < count ? i + FILLS_PER_BATCH : count);
        }
        for (uint256 i; i < count; ++i) {
            vm.assertEq(units(users[i]), unitsOf[users[i]], "trading: units");
            vm.assertEq(vault.balanceOf(users[i], address(btc)), synthOf[users[i]], "trading: synth");
        }
        _provide(count);
    }

    function _deposit(uint256 i) private {
        address user = users[i];
        uint256 spare = draw(5_000e6, 50_000e6);
        (uint256 debt, uint256 collateral) = (0, 0);
        if (isDebtor(i)) {
            debt = draw(0.05e18, 2e18);
            collateral = debt * PRICE * draw(150, 300) / 100 / PRICE_ATOMS + 1 + draw(0, 999_999);
        }
        giveUnits(user, spare + collateral);
        if (debt != 0) {
            vm.startPrank(user);
            issuer.open(
                address(btc),
                uint128(collateral),
                uint128(debt),
                approve(user, address(usdc), collateral, VaultMessages.PURPOSE_LOCK)
            );
            vm.stopPrank();
        }
        (unitsOf[user], synthOf[user]) = (spare, debt);
        if (signerKey(i) == userKey(i)) return;
        uint40 expiry = uint40(block.timestamp + 30 days);
        vm.prank(user);
        settlement.registerAgent(AgentTerms(vm.addr(signerKey(i)), expiry, type(uint128).max, new uint32[](0)));
    }

    /// @dev One batch: an order of each of these users rests, and others fill a part of it.
    function _trade(uint256 from, uint256 to) private {
        for (uint256 i = from; i < to; ++i) {
            address user = users[i];
            bool isBuy = synthOf[user] < 20 * BASE_PER_LOT || draw(0, 1) == 0;
            uint64 price = PRICE_TICKS - 20_000 + uint64(draw(0, 40_000));
            uint64 size = uint64(draw(2, 1_000));
            standing.push(resting(user, isBuy ? SIDE_BUY : SIDE_SELL, price, size, nonceOf(uint16(1 + i % 7), 1)));

            uint256 most = isBuy ? size - 1 : min(size - 1, synthOf[user] / BASE_PER_LOT);
            uint64 lots = uint64(draw(1, most));
            uint256 taker = _takerOf(i, isBuy, lots);
            Order memory crossing =
                immediate(users[taker], isBuy ? SIDE_SELL : SIDE_BUY, price, lots, uint48(standing.length));
            uint16 maker = add(standing[i], signerKey(i));
            match_(maker, add(crossing, signerKey(taker)), lots, 1_000, 2_500);
            if (isBuy) _book(user, users[taker], price, lots, 1_000, 2_500);
            else _book(users[taker], user, price, lots, 2_500, 1_000);
        }
        vm.assertEq(settle(), "", "all fills settle");
    }

    /// @dev The next user who can pay for it, with room for what it owes as a maker.
    function _takerOf(uint256 maker, bool sells, uint256 lots) private view returns (uint256 taker) {
        for (uint256 step = 1; step < users.length; ++step) {
            taker = (maker + step) % users.length;
            uint256 lotsLeft = synthOf[users[taker]] / BASE_PER_LOT;
            if (sells ? lotsLeft >= lots : unitsOf[users[taker]] >= 2_000e6) return taker;
        }
        revert("nobody takes");
    }

    function _book(address buyer, address seller, uint256 price, uint256 lots, uint256 buyPpm, uint256 sellPpm)
        private
    {
        uint256 notional = price * lots;
        unitsOf[buyer] -= notional + (notional * buyPpm + 999_999) / 1e6;
        unitsOf[seller] += notional - (notional * sellPpm + 999_999) / 1e6;
        synthOf[buyer] += lots * BASE_PER_LOT;
        synthOf[seller] -= lots * BASE_PER_LOT;
    }

    /// @dev Some take synth out of the Vault, with the operator's help; some of those provide liquidity and trade.
    function _provide(uint256 count) private {
        for (uint256 i; i < count; ++i) {
            address user = users[i];
            if (i % 2 == 0 || synthOf[user] < 100) continue;

            Withdrawal memory taken = withdrawalOf(user, address(btc), draw(1, synthOf[user]), i);
            vm.startPrank(user);
            vault.withdrawApproved(taken, "", approveWithdrawal(taken));
            vm.stopPrank();
            synthOf[user] -= taken.amount;
            if (i % 3 == 0 || i == 1) _addLiquidity(user, taken.amount);
            if (i % 11 == 7) _swap(user, draw(1e6, 1_000e6));
        }
    }

    function _addLiquidity(address user, uint256 most) private {
        uint256 base = draw(most / 2 + 1, most);
        uint256 quote = base * PRICE / PRICE_ATOMS * 2 + 1e6;
        usdc.mint(user, quote);
        vm.startPrank(user);
        btc.approve(address(router), base);
        usdc.approve(address(router), quote);
        router.addLiquidity(address(btc), base, quote / 2, 0, 0, user, block.timestamp);
        _depositRest(user);
        vm.stopPrank();
    }

    function _swap(address user, uint256 quote) private {
        usdc.mint(user, quote);
        IAmmRouter.Permit memory none;
        vm.startPrank(user);
        usdc.approve(address(router), quote);
        router.swapExactIn(address(usdc), address(btc), quote, 0, user, block.timestamp, none);
        vm.stopPrank();
    }

    /// @dev So that a user's wallet is empty of USDC, and what arrives there is what came out.
    function _depositRest(address user) private {
        uint256 rest = usdc.balanceOf(user);
        if (rest == 0) return;
        usdc.approve(address(vault), rest);
        vault.deposit(rest);
        unitsOf[user] += rest;
    }

    function min(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }
}
