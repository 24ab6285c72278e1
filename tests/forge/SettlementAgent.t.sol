// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {
    AGENT_MARKETS_MAX,
    AgentTerms,
    Authorization,
    Order,
    REASON_AGENT,
    REASON_EXPIRED,
    REASON_TAKER,
    SETTLEMENT_WINDOW,
    SIDE_BUY,
    SIDE_SELL,
    Withdrawal
} from "../../contracts/interfaces/Types.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {Fixture} from "./Fixture.sol";

/// @title Keys that sign orders for an account, and nothing else, as long and as much as they may
contract SettlementAgentTest is Fixture {
    uint256 internal constant AGENT_KEY = 0xA9E;
    uint32 internal constant OTHER_MARKET = 2;
    uint128 internal constant BUDGET = 10_000;
    bytes32 internal constant AGENT_TYPE_HASH = keccak256(
        "Agent(address account,address agent,uint40 expiry,uint128 notional,uint32[] markets,uint256 nonce,uint256 deadline)"
    );

    address internal agent = vm.addr(AGENT_KEY);
    uint40 internal expiry = uint40(START + 1 days);
    uint48 internal sequence;

    function setUp() public override {
        super.setUp();
        giveUnits(alice, 1_000_000);
        giveLots(bob, 1_000);
        settlement.listMarket(OTHER_MARKET, address(btc), BASE_PER_LOT, QUOTE_PER_TICK_LOT, "XBT-USDC");
    }

    function termsOf(uint128 notional) internal view returns (AgentTerms memory) {
        return AgentTerms(agent, expiry, notional, new uint32[](0));
    }

    function register(AgentTerms memory terms) internal {
        vm.prank(alice);
        settlement.registerAgent(terms);
    }

    function revoke(address by) internal {
        vm.prank(by);
        settlement.revokeAgent(alice, agent);
    }

    function budget() internal view returns (uint256 notional) {
        (, notional,) = settlement.agentOf(alice, agent, BTC_USDC);
    }

    /// @dev Bob sells at 100 to an order of Alice that the agent signed.
    function buys(uint32 market, uint64 lots) internal returns (bytes memory) {
        Order memory maker = resting(bob, SIDE_SELL, 100, lots, nonceOf(1, ++sequence));
        Order memory taker = immediate(alice, SIDE_BUY, 100, lots, ++sequence);
        (maker.market, taker.market) = (market, market);
        match_(add(maker), add(taker, AGENT_KEY), lots);
        return settle();
    }

    function assertBuys() internal {
        uint256 held = lotsOf(alice);
        vm.assertEq(buys(BTC_USDC, 1), "");
        vm.assertEq(lotsOf(alice), held + 1);
    }

    function assertRefused(uint32 market, uint64 lots) internal {
        (uint256 held, uint256 paid) = (lotsOf(alice), units(alice));
        vm.assertEq(buys(market, lots), refusal(0, REASON_AGENT | REASON_TAKER));
        vm.assertEq(lotsOf(alice), held);
        vm.assertEq(units(alice), paid);
    }

    /* REGISTRATION */

    function test_a_registered_key_trades_for_the_account() public {
        uint64 number = vault.sequence();
        vm.expectEmit(address(settlement));
        emit ISettlement.AgentRegistered(number + 1, alice, agent, expiry, BUDGET, new uint32[](0));
        register(termsOf(BUDGET));
        vm.assertEq(vault.sequence(), number + 1);

        (bool isEntitled, uint256 notional, uint256 registrations) = settlement.agentOf(alice, agent, BTC_USDC);
        vm.assertTrue(isEntitled);
        vm.assertEq(notional, BUDGET);
        vm.assertEq(registrations, 1);
        assertBuys();
    }

    function test_an_agent_makes_as_well_as_it_takes() public {
        register(termsOf(BUDGET));
        match_(add(buy(alice, 100, 10), AGENT_KEY), add(sell(bob, 100, 10)), 10);
        vm.assertEq(settle(), "");
        vm.assertEq(lotsOf(alice), 10);
        revoke(alice);
        vm.warp(START + SETTLEMENT_WINDOW);
        match_(add(resting(alice, SIDE_BUY, 100, 10, nonceOf(2, 1)), AGENT_KEY), add(sell(bob, 100, 20)), 5);
        vm.assertEq(settle(), refusal(0, REASON_AGENT), "the maker's fault");
    }

    function test_a_key_that_never_was_an_agent_sinks_the_batch() public {
        match_(add(sell(bob, 100, 1)), add(buy(alice, 100, 1), AGENT_KEY), 1);
        settleReverts(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 1, agent));
        // Of Alice, not of Bob.
        register(termsOf(BUDGET));
        match_(add(sell(bob, 100, 1), AGENT_KEY), add(buy(alice, 100, 1)), 1);
        settleReverts(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 0, agent));
    }

    function test_registration_without_sense() public {
        AgentTerms memory terms = termsOf(BUDGET);
        for (uint256 i; i < 5; ++i) {
            AgentTerms memory wrong = AgentTerms(agent, expiry, BUDGET, terms.markets);
            if (i == 0) wrong.agent = address(0);
            if (i == 1) wrong.agent = alice;
            if (i == 2) wrong.expiry = uint40(START);
            if (i == 3) wrong.expiry = 0;
            if (i == 4) wrong.markets = new uint32[](AGENT_MARKETS_MAX + 1);
            vm.prank(alice);
            vm.expectRevert(ISettlement.MalformedAgent.selector);
            settlement.registerAgent(wrong);
        }
        terms.expiry = uint40(START + 1);
        terms.markets = new uint32[](AGENT_MARKETS_MAX);
        register(terms);
    }

    function test_nobody_registers_an_agent_for_another() public {
        vm.prank(carol);
        settlement.registerAgent(termsOf(BUDGET));
        (bool isEntitled,, uint256 registrations) = settlement.agentOf(alice, agent, BTC_USDC);
        vm.assertFalse(isEntitled);
        vm.assertEq(registrations, 0);
        match_(add(sell(bob, 100, 1)), add(buy(alice, 100, 1), AGENT_KEY), 1);
        settleReverts(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 1, agent));
    }

    /* REGISTRATION BY SIGNATURE */

    function signed(uint256 key, address account, AgentTerms memory terms, uint256 nonce, uint256 deadline)
        internal
        view
        returns (bytes memory)
    {
        bytes32 markets = keccak256(abi.encodePacked(terms.markets));
        bytes32 hash = keccak256(
            abi.encode(AGENT_TYPE_HASH, account, terms.agent, terms.expiry, terms.notional, markets, nonce, deadline)
        );
        return sign(key, digestOf(settlement.domainSeparator(), hash));
    }

    function test_anyone_hands_in_what_the_account_signed() public {
        AgentTerms memory terms = termsOf(BUDGET);
        terms.markets = new uint32[](2);
        (terms.markets[0], terms.markets[1]) = (BTC_USDC, 7);
        uint256 deadline = START + 60;
        bytes memory signature = signed(aliceKey, alice, terms, 0, deadline);
        vm.warp(deadline);
        vm.prank(carol);
        settlement.registerAgentFor(alice, terms, deadline, signature);
        assertBuys();
        assertRefused(OTHER_MARKET, 1);
    }

    function test_a_registration_cannot_be_replayed() public {
        AgentTerms memory terms = termsOf(BUDGET);
        uint256 deadline = START + 7 days;
        bytes memory signature = signed(aliceKey, alice, terms, 0, deadline);
        settlement.registerAgentFor(alice, terms, deadline, signature);
        revoke(alice);
        vm.warp(START + SETTLEMENT_WINDOW);
        // Its nonce has been used; over as it is.
        vm.expectPartialRevert(ISettlement.InvalidSigner.selector);
        settlement.registerAgentFor(alice, terms, deadline, signature);
        vm.assertEq(budget(), BUDGET);
        settlement.registerAgentFor(alice, terms, deadline, compact(signed(aliceKey, alice, terms, 1, deadline)));
        (,, uint256 registrations) = settlement.agentOf(alice, agent, BTC_USDC);
        vm.assertEq(registrations, 2);
    }

    function test_a_registration_by_signature_is_the_accounts_and_says_all() public {
        AgentTerms memory terms = termsOf(BUDGET);
        uint256 deadline = START + 60;
        bytes memory signature = signed(aliceKey, alice, terms, 0, deadline);
        for (uint256 i; i < 10; ++i) {
            (address account, uint256 until, AgentTerms memory said) =
                (alice, deadline, AgentTerms(agent, expiry, BUDGET, new uint32[](0)));
            bytes memory by = signature;
            if (i == 0) account = carol;
            if (i == 1) until = deadline + 1;
            if (i == 2) said.agent = carol;
            if (i == 3) said.expiry += 1;
            if (i == 4) said.notional += 1;
            if (i == 5) said.markets = new uint32[](1);
            if (i == 6) by = signed(carolKey, alice, terms, 0, deadline);
            if (i == 7) by = signed(AGENT_KEY, alice, terms, 0, deadline);
            if (i == 8) by = signed(aliceKey, alice, terms, 1, deadline);
            if (i == 9) by = mirrored(signature);
            vm.expectPartialRevert(ISettlement.InvalidSigner.selector);
            settlement.registerAgentFor(account, said, until, by);
        }
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 0, address(0)));
        settlement.registerAgentFor(alice, terms, deadline, "");
        // Nobody's signature is the zero account's.
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 0, address(0)));
        settlement.registerAgentFor(address(0), terms, deadline, new bytes(65));
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.DeadlinePassed.selector, deadline));
        settlement.registerAgentFor(alice, terms, deadline, signature);
    }

    function test_an_agent_registers_no_agents() public {
        register(termsOf(BUDGET));
        AgentTerms memory terms = termsOf(BUDGET);
        terms.agent = carol;
        bytes memory signature = signed(AGENT_KEY, alice, terms, 0, START + 60);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 0, agent));
        settlement.registerAgentFor(alice, terms, START + 60, signature);
        // What it calls itself is for itself.
        vm.prank(agent);
        settlement.registerAgent(terms);
        (,, uint256 registrations) = settlement.agentOf(alice, carol, BTC_USDC);
        vm.assertEq(registrations, 0);
        match_(add(sell(bob, 100, 1)), add(buy(alice, 100, 1), carolKey), 1);
        settleReverts(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 1, carol));
    }

    /* WHAT AN AGENT CANNOT */

    function test_an_agent_withdraws_nothing() public {
        register(termsOf(type(uint128).max));
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 1_000, 1);
        bytes32 hash = keccak256(abi.encode(VaultMessages.WITHDRAW_TYPE_HASH, withdrawal));
        bytes memory signature = sign(AGENT_KEY, digestOf(vault.domainSeparator(), hash));
        Authorization memory approval = approveWithdrawal(withdrawal);
        vm.expectRevert();
        vault.withdrawApproved(withdrawal, signature, approval);
        vm.assertEq(units(alice), 1_000_000);
        vault.withdrawApproved(withdrawal, signWithdrawal(withdrawal), approval);

        // A request of the agent's is of its own balance.
        vm.prank(agent);
        vault.requestWithdrawal(address(usdc), 1_000, agent);
        vm.assertEq(vault.requestOf(alice, address(usdc)).amount, 0);
    }

    function test_an_agent_cancels_nothing_of_the_accounts() public {
        register(termsOf(BUDGET));
        vm.startPrank(agent);
        settlement.cancel(nonceOf(1, 1));
        settlement.cancelAll(1_000);
        vm.stopPrank();
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertEq(trade(sell(bob, 100, 1), buy(alice, 100, 1), 1), "");
    }

    /* THE END */

    function test_a_revocation_binds_a_window_later() public {
        register(termsOf(BUDGET));
        uint64 number = vault.sequence();
        vm.expectEmit(address(settlement));
        emit ISettlement.AgentRevoked(number + 1, alice, agent, uint40(START + SETTLEMENT_WINDOW));
        revoke(alice);
        vm.warp(START + SETTLEMENT_WINDOW - 1);
        assertBuys();
        vm.warp(START + SETTLEMENT_WINDOW);
        assertRefused(BTC_USDC, 1);
        (bool isEntitled,,) = settlement.agentOf(alice, agent, BTC_USDC);
        vm.assertFalse(isEntitled);
    }

    function test_the_agent_may_revoke_itself_and_nobody_else() public {
        register(termsOf(BUDGET));
        vm.prank(carol);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotYours.selector, alice, agent));
        settlement.revokeAgent(alice, agent);
        revoke(agent);
        vm.warp(START + SETTLEMENT_WINDOW);
        assertRefused(BTC_USDC, 1);
    }

    function test_a_revocation_needs_a_registration_and_is_not_postponed() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NoAgent.selector, alice, agent));
        settlement.revokeAgent(alice, agent);
        register(termsOf(BUDGET));
        revoke(alice);
        vm.warp(START + 100);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NoAgent.selector, alice, agent));
        settlement.revokeAgent(alice, agent);
        vm.warp(START + SETTLEMENT_WINDOW);
        assertRefused(BTC_USDC, 1);
    }

    function test_an_expiry_binds_a_window_later() public {
        register(termsOf(BUDGET));
        vm.warp(expiry + SETTLEMENT_WINDOW - 1);
        assertBuys();
        vm.warp(expiry + SETTLEMENT_WINDOW);
        assertRefused(BTC_USDC, 1);
    }

    function test_an_expiry_at_the_end_of_time_is_never() public {
        expiry = type(uint40).max;
        register(termsOf(BUDGET));
        vm.warp(START + 1_000 * 365 days);
        assertBuys();
    }

    function test_what_the_order_lacks_comes_before_what_the_agent_lacks() public {
        register(termsOf(BUDGET));
        revoke(alice);
        Order memory taker = buy(alice, 100, 1);
        taker.expiry = uint40(START + 1);
        vm.warp(START + SETTLEMENT_WINDOW + 1);
        match_(add(sell(bob, 100, 1)), add(taker, AGENT_KEY), 1);
        vm.assertEq(settle(), refusal(0, REASON_EXPIRED | REASON_TAKER));
    }

    /* MARKETS */

    function test_an_agent_trades_where_it_may() public {
        AgentTerms memory terms = termsOf(BUDGET);
        terms.markets = new uint32[](1);
        terms.markets[0] = OTHER_MARKET;
        register(terms);
        assertRefused(BTC_USDC, 1);
        vm.assertEq(buys(OTHER_MARKET, 1), "");
        (bool isEntitled,,) = settlement.agentOf(alice, agent, OTHER_MARKET);
        vm.assertTrue(isEntitled);
        (isEntitled,,) = settlement.agentOf(alice, agent, BTC_USDC);
        vm.assertFalse(isEntitled);
    }

    function test_markets_of_an_earlier_registration_mean_nothing() public {
        AgentTerms memory terms = termsOf(BUDGET);
        terms.markets = new uint32[](1);
        terms.markets[0] = BTC_USDC;
        register(terms);
        revoke(alice);
        vm.warp(START + SETTLEMENT_WINDOW);
        terms.markets[0] = OTHER_MARKET;
        register(terms);
        assertRefused(BTC_USDC, 1);
        vm.assertEq(buys(OTHER_MARKET, 1), "");
    }

    /* NOTIONAL */

    function test_the_notional_is_used_up_and_then_refused() public {
        register(termsOf(BUDGET));
        vm.assertEq(buys(BTC_USDC, 60), "");
        vm.assertEq(budget(), BUDGET - 6_000);
        assertRefused(BTC_USDC, 41);
        vm.assertEq(budget(), 4_000, "a refused fill costs nothing");
        vm.assertEq(buys(BTC_USDC, 40), "");
        vm.assertEq(budget(), 0);
        assertRefused(BTC_USDC, 1);
    }

    function test_the_notional_runs_over_all_orders_of_a_batch() public {
        register(termsOf(BUDGET));
        uint16 maker = add(sell(bob, 100, 200));
        for (uint48 i = 1; i <= 3; ++i) {
            match_(maker, add(immediate(alice, SIDE_BUY, 100, 60, i), AGENT_KEY), 60);
        }
        match_(maker, add(immediate(alice, SIDE_BUY, 100, 40, 4), AGENT_KEY), 40);
        bytes memory refused =
            bytes.concat(refusal(1, REASON_AGENT | REASON_TAKER), refusal(2, REASON_AGENT | REASON_TAKER));
        vm.assertEq(settle(), refused);
        vm.assertEq(budget(), 0);
        vm.assertEq(lotsOf(alice), 100);
    }

    function test_two_agents_of_an_account_have_notionals_of_their_own() public {
        register(termsOf(BUDGET));
        AgentTerms memory terms = termsOf(2 * BUDGET);
        terms.agent = carol;
        register(terms);
        uint16 maker = add(sell(bob, 100, 500));
        match_(maker, add(immediate(alice, SIDE_BUY, 100, 70, 1), AGENT_KEY), 70);
        match_(maker, add(immediate(alice, SIDE_BUY, 100, 150, 2), carolKey), 150);
        match_(maker, add(immediate(alice, SIDE_BUY, 100, 50, 3)), 50);
        match_(maker, add(immediate(alice, SIDE_BUY, 100, 30, 4), AGENT_KEY), 30);
        vm.assertEq(settle(), "");
        vm.assertEq(budget(), 0);
        (, uint256 notional,) = settlement.agentOf(alice, carol, BTC_USDC);
        vm.assertEq(notional, 2 * BUDGET - 15_000);
    }

    function test_one_key_for_two_accounts_has_two_notionals() public {
        register(termsOf(BUDGET));
        vm.prank(bob);
        settlement.registerAgent(termsOf(3 * BUDGET));
        match_(add(sell(bob, 100, 50), AGENT_KEY), add(buy(alice, 100, 50), AGENT_KEY), 50);
        vm.assertEq(settle(), "");
        vm.assertEq(budget(), BUDGET - 5_000);
        (, uint256 notional,) = settlement.agentOf(bob, agent, BTC_USDC);
        vm.assertEq(notional, 3 * BUDGET - 5_000);
    }

    /* AGAIN */

    function test_a_key_is_registered_again_when_it_is_over() public {
        register(termsOf(BUDGET));
        for (uint256 i; i < 3; ++i) {
            if (i == 1) revoke(alice);
            if (i == 2) vm.warp(START + SETTLEMENT_WINDOW - 1);
            vm.prank(alice);
            vm.expectRevert(abi.encodeWithSelector(ISettlement.AgentStillBinds.selector, alice, agent));
            settlement.registerAgent(termsOf(5));
        }
        vm.warp(START + SETTLEMENT_WINDOW);
        register(termsOf(700));
        vm.assertEq(budget(), 700);
        vm.assertEq(buys(BTC_USDC, 7), "");
        assertRefused(BTC_USDC, 1);
    }

    function test_a_key_that_expired_is_registered_again_a_window_later() public {
        register(termsOf(BUDGET));
        vm.warp(expiry + SETTLEMENT_WINDOW - 1);
        AgentTerms memory terms = termsOf(700);
        terms.expiry = uint40(expiry + 1 days);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AgentStillBinds.selector, alice, agent));
        settlement.registerAgent(terms);
        vm.warp(expiry + SETTLEMENT_WINDOW);
        register(terms);
        assertBuys();
    }

    function test_the_account_signs_as_before() public {
        register(termsOf(1));
        vm.assertEq(trade(sell(bob, 100, 10), buy(alice, 100, 10), 10), "");
        vm.assertEq(budget(), 1);
    }
}
