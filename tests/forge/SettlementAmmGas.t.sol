// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Order, SIDE_BUY, SIDE_SELL} from "../../contracts/interfaces/Types.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {Pool} from "./Pool.sol";
import {Batch} from "./ReadableSettlement.sol";

/// @title What an AMM fill costs, and that the batcher's estimate is an upper bound of it
/// @dev Every call is a transaction of its own, as on chain. forge-config: default.isolate = true
contract SettlementAmmGasTest is Pool {
    // Twins: `offchain.domain.batch`.
    uint256 internal constant GAS_BATCH_BASE = 90_000;
    uint256 internal constant GAS_PER_ORDER = 50_000;
    uint256 internal constant GAS_PER_FRESH_SLOT = 35_000;
    uint256 internal constant GAS_PER_FILL = 5_000;
    uint256 internal constant GAS_PER_AMM_FILL = 250_000;

    uint32 internal constant OTHERS = 100;
    uint256 internal constant MARKETS = 6;

    /// @dev forge prints it with -vv.
    event log_named_uint(string name, uint256 value); // solhint-disable-line event-name-capwords

    SynthERC20[] internal synths;
    uint48 internal sequence;

    /// @dev A wallet's, written out: a call of `walletSign` would be in the snapshot too.
    function sign(uint256 key, bytes32 digest) internal pure override returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function setUp() public override {
        super.setUp();
        giveUnits(alice, 10 ** 9);
        for (uint32 i; i < MARKETS; ++i) {
            SynthERC20 synth = newSynth("Other", string.concat("OTHER", vm.toString(i)));
            synths.push(synth);
            vault.registerSynth(address(synth));
            settlement.listMarket(OTHERS + i, address(synth), BASE_PER_LOT, QUOTE_PER_TICK_LOT, "OTHER-USDC");
            openPool(synth, POOL_LOTS * BASE_PER_LOT, POOL_UNITS);
        }
    }

    function onOther(Order memory order, uint32 number) internal pure returns (Order memory) {
        order.market = OTHERS + number;
        return order;
    }

    function measure(string memory name) internal returns (uint256 used) {
        Batch memory batch = take();
        uint256 estimate = GAS_PER_FRESH_SLOT * freshSlots(batch);
        settlement.settle(pack(batch));
        used = vm.lastCallGas().gasTotalUsed;
        estimate += GAS_BATCH_BASE + GAS_PER_ORDER * batch.orders.length + GAS_PER_FILL * batch.fills.length
            + GAS_PER_AMM_FILL * batch.ammQuotes.length;
        vm.assertLe(used, estimate, "the batcher's estimate is an upper bound");
        emit log_named_uint(name, used);
    }

    /// @dev Slots in which nothing has settled, as the engine counts them.
    function freshSlots(Batch memory batch) internal view returns (uint256 count) {
        for (uint256 i; i < batch.orders.length; ++i) {
            (address account, uint16 slot) = (batch.orders[i].account, uint16(batch.orders[i].nonce >> 48));
            (uint48 top,) = settlement.slotOf(account, slot);
            if (slot == 0) top = vault.accountOf(account).immediateSequence;
            if (top == 0) ++count;
        }
    }

    function encumber(address account, address token) internal {
        vm.startPrank(account);
        vault.requestWithdrawal(address(usdc), 1, account);
        vault.requestWithdrawal(token, 1, account);
        settlement.cancel(nonceOf(0, 1_000));
        settlement.cancelAll(1_000);
        vm.stopPrank();
    }

    function test_gas_one_leg() public {
        leg(ammBuy(alice, 10_200, 100), 1_010_000, 2_500);
        measure("purchase, everything fresh");
        leg(amm(alice, SIDE_BUY, 10_200, 100, 2), 1_010_000, 2_500);
        measure("purchase, everything known");
        leg(amm(alice, SIDE_SELL, 9_800, 100, 3), 985_000, 2_500);
        measure("sale, everything known");
        giveLots(bob, 100);
        leg(ammSell(bob, 9_800, 100), 985_000, 2_500);
        measure("sale, first units of its taker");
    }

    function test_gas_one_leg_with_everything_open() public {
        encumber(alice, address(btc));
        leg(ammBuy(alice, 10_200, 100), 1_010_000, 2_500);
        measure("purchase, everything open");
        giveLots(bob, 200);
        encumber(bob, address(btc));
        leg(ammSell(bob, 9_800, 100), 985_000, 2_500);
        measure("sale, everything open");
    }

    function test_gas_a_leg_that_is_refused() public {
        leg(ammBuy(alice, 10_200, 100), 1_000_000, 2_500);
        measure("refused, the pool gives less");
        leg(ammBuy(bob, 10_200, 100), 1_000_000, 2_500);
        measure("refused, the taker cannot pay");
    }

    function test_gas_many_legs() public {
        for (uint32 i; i < MARKETS; ++i) {
            leg(onOther(amm(alice, SIDE_BUY, 10_200, 100, ++sequence), i), 1_010_000, 2_500);
        }
        measure("purchases in six pools, all fresh");
        for (uint32 i; i < MARKETS; ++i) {
            leg(onOther(amm(alice, SIDE_SELL, 9_800, 100, ++sequence), i), 985_000, 2_500);
        }
        measure("sales in six pools, all known");
    }

    /// @dev Takers that never traded, each in a pool of its own.
    function test_gas_many_strangers() public {
        for (uint32 i; i < MARKETS; ++i) {
            uint256 key = 0xB000 + i;
            giveUnits(vm.addr(key), 10 ** 9);
            Order memory order = onOther(amm(vm.addr(key), SIDE_BUY, 10_200, 100, 1), i);
            legBy(order, key, 1_010_000, 2_500);
        }
        measure("purchases of six strangers in six pools");
    }

    function test_gas_a_leg_among_fills_of_the_book() public {
        giveLots(bob, 1_000);
        for (uint16 i; i < 8; ++i) {
            uint16 maker = add(resting(bob, SIDE_SELL, 10_000, 100, nonceOf(1 + i, 1)));
            match_(maker, add(resting(alice, SIDE_BUY, 10_000, 100, nonceOf(1 + i, 1))), 100, 2_500, 2_500);
        }
        leg(ammBuy(alice, 10_200, 100), 1_010_000, 2_500);
        measure("eight fills of the book and a purchase");
    }
}
