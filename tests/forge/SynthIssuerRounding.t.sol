// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {Authorization, EXIT_DELAY} from "../../contracts/interfaces/Types.sol";
import {Debtors} from "./Debtors.sol";

/// @title Who deals with himself gains nothing, and every rounding is against whoever moves
/// @dev Everybody draws on matured requests: a countersignature costs more time than all that is asked here.
contract SynthIssuerRoundingTest is Debtors {
    function setUp() public override {
        super.setUp();
        address[3] memory people = [alice, bob, carol];
        for (uint256 i; i < 3; ++i) {
            request(people[i], address(usdc), type(uint128).max);
            request(people[i], address(btc), type(uint128).max);
        }
        vm.warp(START + EXIT_DELAY);
        post(PRICE);
    }

    function mayLock(address, uint256) internal pure override returns (Authorization memory) {
        return drawOnRequest();
    }

    function mayBurn(address, uint256) internal pure override returns (Authorization memory) {
        return drawOnRequest();
    }

    /// @dev What the account could have, at the price: free units, collateral and synth less debt, times 1e18.
    function worth(address account, uint256 price) internal view returns (uint256) {
        ISynthIssuer.Position memory position = issuer.positionOf(account, address(btc));
        uint256 left = (units(account) + position.collateral) * 1e18 + atoms(account) * price;
        return left - position.debt * price;
    }

    /// @dev A hundred times opening or closing 0 to 100 atoms and units, at any price: to the unit as before.
    /// Fewer runs, each of a hundred calls.
    /// forge-config: default.fuzz.runs = 500
    /// forge-config: fuzz.fuzz.runs = 5000
    function testFuzz_cycles_of_dust_gain_nothing(uint256 price, uint256 seed) public {
        price = bound(price, 1, 1e24);
        open(alice, 1_000e6, 0);
        post(price);
        uint256 before = worth(alice, price);
        vm.startPrank(alice);
        for (uint256 i; i < 100; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            (uint128 collateral, uint128 debt) = (uint128(seed % 101), uint128((seed >> 8) % 101));
            bool isOpening = (seed >> 16) % 2 == 0;
            if (isOpening) try issuer.open(address(btc), collateral, debt, drawOnRequest()) {} catch {} // solhint-disable-line
            else try issuer.close(address(btc), collateral, debt, drawOnRequest()) {} catch {} // solhint-disable-line
        }
        vm.stopPrank();
        vm.assertEq(worth(alice, price), before);
        ISynthIssuer.Position memory position = issuer.positionOf(alice, address(btc));
        vm.assertEq(position.debt, atoms(alice));
        vm.assertEq(position.collateral + units(alice), WEALTH);
    }

    /// @dev In many parts or at once, by oneself: nothing comes of it.
    function testFuzz_liquidating_oneself_gains_nothing(uint256 price, uint256 debt, uint256 parts) public {
        debt = bound(debt, 1e15, ONE);
        open(alice, REQUIRED, uint128(debt));
        price = bound(price, 1e20 * uint256(REQUIRED) / (debt * 120) + 1, 1e18 * uint256(REQUIRED) / debt);
        post(price);
        uint256 before = worth(alice, price);
        parts = bound(parts, 1, 10);
        for (uint256 i; i < parts; ++i) {
            uint256 most = issuer.liquidatableDebt(alice, address(btc));
            if (most == 0) break;
            liquidate(alice, alice, uint128(i + 1 == parts ? most : (most - 1) / parts + 1));
        }
        vm.assertEq(worth(alice, price), before);
        vm.assertEq(issuer.debtOf(address(btc)), btc.totalSupply());
    }

    /// @dev Two accounts of one owner: bonus and all, they have together what they had.
    function testFuzz_liquidating_ones_other_account_gains_nothing(uint256 price, uint256 amount) public {
        open(alice, REQUIRED, ONE);
        open(bob, 3 * REQUIRED, ONE);
        price = bound(price, 75_000e6 + 1, REQUIRED);
        post(price);
        uint256 before = worth(alice, price) + worth(bob, price);
        amount = bound(amount, 1e12, issuer.liquidatableDebt(alice, address(btc)));
        Authorization memory approval = mayBurn(bob, amount);
        vm.prank(bob);
        try issuer.liquidate(alice, address(btc), uint128(amount), 0, approval) {} catch {} // solhint-disable-line
        vm.assertEq(worth(alice, price) + worth(bob, price), before);
    }

    /// @dev A liquidator gets no more than value and bonus, however often he asks.
    function testFuzz_many_small_liquidations_are_no_better_than_one(uint256 price, uint256 parts) public {
        open(alice, REQUIRED, ONE);
        open(bob, 3 * REQUIRED, ONE);
        post(bound(price, 75_000e6 + 1, 2 * uint256(REQUIRED)));
        parts = bound(parts, 2, 20);
        uint256 most = issuer.liquidatableDebt(alice, address(btc));
        uint256 free = units(bob);
        uint256 paid;
        uint256 snapshot = vm.snapshotState();
        liquidate(bob, alice, uint128(most));
        uint256 atOnce = units(bob) - free;
        vm.revertToState(snapshot);
        for (uint256 i; i < parts; ++i) {
            uint256 left = issuer.liquidatableDebt(alice, address(btc));
            if (left == 0) break;
            uint256 part = i + 1 == parts ? left : most / parts;
            (, uint128 collateral) = liquidate(bob, alice, uint128(part < left ? part : left));
            paid += collateral;
        }
        // The last part may be an atom more: what brings the position back is rounded up each time.
        vm.assertLe(paid, atOnce + 1);
    }

    /// @dev Redeeming in pieces gives no more than redeeming at once, and what one loses the others have.
    function testFuzz_redeeming_in_pieces_gains_nothing(uint256 price, uint256 parts, uint256 debt) public {
        debt = bound(debt, 1, ONE);
        open(alice, REQUIRED, uint128(debt));
        open(bob, REQUIRED, ONE);
        post(bound(price, 1, 3 * PRICE));
        shutDown();
        settlePositions([alice, bob, carol]);
        (,,, uint256 pool) = issuer.shutdownOf(address(btc));
        uint256 share = pool * debt / (debt + ONE);
        parts = bound(parts, 1, 10);
        uint256 paid;
        while (atoms(alice) != 0) {
            uint256 part = debt / parts + 1;
            paid += redeem(alice, part < atoms(alice) ? part : atoms(alice));
        }
        vm.assertLe(paid, share);
        vm.assertEq(redeem(bob, ONE), pool - paid);
    }

    /// @dev No debtor pays less than the value of his debt while his collateral covers it.
    function testFuzz_settling_rounds_against_the_debtor(uint256 price, uint256 debt) public {
        debt = bound(debt, 1, ONE);
        open(alice, REQUIRED, uint128(debt));
        price = bound(price, 1, 10 * PRICE);
        post(price);
        shutDown();
        settlePositions([alice, bob, carol]);
        (,,, uint256 pool) = issuer.shutdownOf(address(btc));
        vm.assertEq(units(alice) + pool, WEALTH);
        vm.assertTrue(pool == REQUIRED || pool * 1e18 >= debt * price && (pool - 1) * 1e18 < debt * price);
    }

    /// @dev A debtor who bought other synth in the meantime, at any time, from anybody: the debts stay owed.
    function testFuzz_absorbing_moves_value_to_nobody_else(uint256 price) public {
        open(alice, REQUIRED, ONE);
        open(bob, 3 * REQUIRED, ONE);
        price = bound(price, uint256(REQUIRED) + 1, 1e13);
        post(price);
        uint256 bobs = worth(bob, 0);
        issuer.absorb(alice, address(btc));
        vm.assertEq(worth(bob, 0), bobs);
        vm.assertEq(issuer.debtOf(address(btc)), btc.totalSupply());
        vm.assertEq(vault.totalsOf(address(usdc)).locked, 4 * uint256(REQUIRED));
    }
}
