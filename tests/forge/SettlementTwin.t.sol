// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {TIF_FOK} from "../../contracts/interfaces/Types.sol";
import {PackedBatch} from "./PackedBatch.sol";
import {AMM_MAKER_INDEX, Batch, Fill, ReadableSettlement} from "./ReadableSettlement.sol";
import {Vm} from "./Test.sol";
import {TwinScenes} from "./TwinScenes.sol";

/// @title Settlement does what its readable twin does: ten thousand random batches
/// @dev Each is settled by the twin, whose code is put in place for it, and undone; then by the real one. Both revert, or
/// both refuse the same fills for the same reasons and leave the same balances, slots, sequences and budgets behind.
contract SettlementTwinTest is TwinScenes {
    uint256 internal constant TESTS = 5;
    uint256 internal constant BATCHES_EACH = 2_000;
    /// @dev Where SettlementBase keeps its slots and agents; `setUp` proves it.
    uint256 internal constant SLOTS_AT = 3;
    uint256 internal constant AGENTS_AT = 5;

    /// @dev What a batch came to.
    struct Outcome {
        bool isSettled;
        bytes refusals;
        bytes changes;
        bytes4 error;
        bytes state;
    }

    /// @dev What was seen, so that nothing of it is seldom.
    struct Seen {
        uint256 batches;
        uint256 reverted;
        uint256 fills;
        uint256 groupFills;
        uint256 legs;
        uint256 bulk;
        uint256 slots;
        uint256 replaced;
        uint256 agents;
        uint256 smallAgents;
        uint256 takers;
        uint256[9] refusals;
    }

    event log_named_uint(string name, uint256 value); // solhint-disable-line event-name-capwords

    bytes internal real;
    bytes internal readable;
    address[] internal watched;
    address[] internal tokens;
    Seen internal seen;
    mapping(bytes4 error => uint256) internal errors;

    function setUp() public override {
        super.setUp();
        real = address(settlement).code;
        readable = address(new ReadableSettlement(address(this), address(vault), address(ammFactory))).code;
        watched = [address(btcPool), address(ethPool), TREASURY];
        for (uint256 i; i < PEOPLE; ++i) {
            watched.push(people[i]);
        }
        tokens = [address(usdc), address(btc), address(eth)];
        for (uint256 i; i < PEOPLE; ++i) {
            vm.assertEq(uint32(agentWord(i, 0) >> 80), 1, "registered once");
        }
    }

    function test_packed_and_readable_agree_1() public {
        run(1);
    }

    function test_packed_and_readable_agree_2() public {
        run(2);
    }

    function test_packed_and_readable_agree_3() public {
        run(3);
    }

    function test_packed_and_readable_agree_4() public {
        run(4);
    }

    function test_packed_and_readable_agree_5() public {
        run(5);
    }

    function run(uint256 seed) internal {
        vm.assertEq(TESTS * BATCHES_EACH, 10_000);
        vm.pauseGasMetering();
        entropy = uint256(keccak256(abi.encode("twin", seed)));
        for (uint256 i; i < BATCHES_EACH; ++i) {
            this.round();
        }
        checkSeen();
        vm.assertEq(seen.batches, BATCHES_EACH);
    }

    /// @dev From outside, so that each batch has its own memory.
    function round() external {
        happen();
        scene();
        Batch memory batch = PackedBatch.sorted(take());
        if (isOnceIn(7)) spoil(batch);

        Outcome memory expected = byTwin(batch);
        bytes memory before = stateOf();
        Outcome memory actual = byReal(batch);
        vm.assertEq(actual.isSettled ? 1 : 0, expected.isSettled ? uint256(1) : 0, "one of them reverts");
        vm.assertEq(actual.refusals, expected.refusals, "refusals");
        assertSame(actual.state, expected.state, "state");
        if (!actual.isSettled) assertSame(actual.state, before, "a batch that reverts changes nothing");
        else assertRebuilt(before, actual);
        note(batch, actual, before);
    }

    /* THE TWO */

    function byTwin(Batch memory batch) internal returns (Outcome memory outcome) {
        vm.etch(address(settlement), readable);
        try this.settleAndUndo(batch) {}
        catch (bytes memory result) {
            outcome = abi.decode(result, (Outcome));
        }
        vm.etch(address(settlement), real);
    }

    function settleAndUndo(Batch memory batch) external {
        Outcome memory outcome;
        vm.recordLogs();
        try ReadableSettlement(address(settlement)).settle(batch) {
            (outcome.isSettled, outcome.refusals) = (true, settled().refusals);
        } catch {} // solhint-disable-line no-empty-blocks
        outcome.state = stateOf();
        bytes memory result = abi.encode(outcome);
        assembly ("memory-safe") {
            revert(add(result, 32), mload(result))
        }
    }

    function byReal(Batch memory batch) internal returns (Outcome memory outcome) {
        bytes memory packed = PackedBatch.pack(batch, fees);
        vm.recordLogs();
        try settlement.settle(packed) {
            outcome = settled();
        } catch (bytes memory error) {
            outcome.error = bytes4(error);
        }
        outcome.state = stateOf();
    }

    function settled() internal returns (Outcome memory outcome) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        outcome.isSettled = true;
        (, outcome.refusals, outcome.changes) = abi.decode(logs[logs.length - 1].data, (uint64, bytes, bytes));
    }

    /* WHAT IS COMPARED */

    function balancesOf() internal view returns (uint256[][] memory balances) {
        (,,, balances) = vault.reconcile(watched, tokens);
    }

    /// @dev Everything that a batch may touch: balances, sequences and pools, and whole words of slots and agents.
    function stateOf() internal view returns (bytes memory) {
        uint256[] memory words = new uint256[](PEOPLE * (SLOTS + 4) + 8);
        uint256 at;
        for (uint256 i; i < PEOPLE; ++i) {
            for (uint16 slot; slot <= SLOTS; ++slot) {
                words[at++] = slotWord(i, slot);
            }
            (words[at++], words[at++]) = (agentWord(i, 0), agentWord(i, 1));
            words[at++] = vault.accountOf(people[i]).immediateSequence;
        }
        for (uint256 i; i < 3; ++i) {
            (words[at++], words[at++]) = (held(i, address(btcPool)), held(i, address(ethPool)));
        }
        (words[at], words[at + 1]) = (settlement.lastFill(), vault.sequence());
        return abi.encode(balancesOf(), words);
    }

    function held(uint256 token, address by) internal view returns (uint256) {
        return IERC20(tokens[token]).balanceOf(by);
    }

    function slotWord(uint256 person, uint16 slot) internal view returns (uint256) {
        return word(abi.encode(uint256(uint160(people[person])) << 16 | slot, SLOTS_AT));
    }

    function agentWord(uint256 person, uint256 which) internal view returns (uint256) {
        return word(abi.encode(keccak256(abi.encode(people[person], agents[person][which])), AGENTS_AT));
    }

    function word(bytes memory place) internal view returns (uint256) {
        return uint256(vm.load(address(settlement), keccak256(place)));
    }

    /// @dev What was before and what was logged is what is now.
    function assertRebuilt(bytes memory before, Outcome memory outcome) internal view {
        (uint256[][] memory balances,) = abi.decode(before, (uint256[][], uint256[]));
        bytes memory changes = outcome.changes;
        for (uint256 at; at < changes.length;) {
            uint256 token = placeOf(tokens, address(uint160(read(changes, at, 20))));
            uint256 rows = read(changes, at + 20, 1);
            for (at += 21; rows != 0; --rows) {
                uint256 account = placeOf(watched, address(uint160(read(changes, at, 20))));
                int256 delta = int136(uint136(read(changes, at + 20, 17)));
                vm.assertTrue(delta != 0, "a change");
                balances[account][token] = uint256(int256(balances[account][token]) + delta);
                at += 37;
            }
        }
        assertSame(abi.encode(balances), abi.encode(balancesOf()), "balances as logged");
    }

    /// @dev Names the first word that differs, and the batch.
    function assertSame(bytes memory left, bytes memory right, string memory what) internal view {
        if (keccak256(left) == keccak256(right)) return;
        uint256 at;
        while (at + 32 < left.length && read(left, at, 32) == read(right, at, 32)) at += 32;
        what = string.concat(what, ", word ", vm.toString(at / 32), ", batch ", vm.toString(seen.batches));
        vm.assertEq(read(left, at, 32), read(right, at, 32), what);
        vm.assertEq(left.length, right.length, what);
    }

    function placeOf(address[] storage list, address account) internal view returns (uint256 place) {
        while (list[place] != account) ++place;
    }

    function read(bytes memory data, uint256 at, uint256 size) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(shl(3, sub(32, size)), mload(add(add(data, 32), at)))
        }
    }

    /* WHAT WAS SEEN */

    function note(Batch memory batch, Outcome memory outcome, bytes memory before) internal {
        ++seen.batches;
        if (!outcome.isSettled) {
            ++seen.reverted;
            ++errors[outcome.error];
            return;
        }
        bool[] memory isRefused = new bool[](batch.fills.length);
        for (uint256 at; at < outcome.refusals.length; at += 3) {
            isRefused[read(outcome.refusals, at, 2)] = true;
            uint256 reason = read(outcome.refusals, at + 2, 1);
            ++seen.refusals[reason & 0x7F];
            if (reason >= 0x80) ++seen.takers;
        }
        for (uint256 i; i < batch.fills.length; ++i) {
            if (!isRefused[i]) noteFill(batch, i);
        }
        noteAgents(before, outcome.state);
    }

    function noteFill(Batch memory batch, uint256 i) internal {
        Fill memory fill = batch.fills[i];
        ++seen.fills;
        if (fill.maker == AMM_MAKER_INDEX) ++seen.legs;
        else if (batch.orders[fill.taker].timeInForce == TIF_FOK) ++seen.groupFills;
        if (batch.proofs[fill.taker].isBulk) ++seen.bulk;
        else if (fill.maker != AMM_MAKER_INDEX && batch.proofs[fill.maker].isBulk) ++seen.bulk;
    }

    function noteAgents(bytes memory before, bytes memory later) internal {
        (, uint256[] memory a) = abi.decode(before, (uint256[][], uint256[]));
        (, uint256[] memory b) = abi.decode(later, (uint256[][], uint256[]));
        for (uint256 i; i < PEOPLE; ++i) {
            uint256 at = i * (SLOTS + 4);
            for (uint256 slot = 1; slot <= SLOTS; ++slot) {
                if (a[at + slot] == b[at + slot]) continue;
                ++seen.slots;
                if (a[at + slot] != 0 && uint48(a[at + slot]) != uint48(b[at + slot])) ++seen.replaced;
            }
            if (a[at + SLOTS + 1] != b[at + SLOTS + 1]) ++seen.agents;
            if (a[at + SLOTS + 2] != b[at + SLOTS + 2]) ++seen.smallAgents;
        }
    }

    function checkSeen() internal {
        for (uint256 i; i < PEOPLE; ++i) {
            (uint48 top,) = settlement.slotOf(people[i], 1);
            vm.assertEq(uint48(slotWord(i, 1)), top, "where slots are");
        }
        checkOften("reverted", seen.reverted, 200);
        checkOften("fills", seen.fills, 2_000);
        checkOften("fills of fill-or-kill orders", seen.groupFills, 400);
        checkOften("legs", seen.legs, 200);
        checkOften("bulk", seen.bulk, 200);
        checkOften("slots", seen.slots, 1_000);
        checkOften("slots replaced", seen.replaced, 1_000);
        checkOften("agents", seen.agents, 500);
        checkOften("agents with little", seen.smallAgents, 100);
        checkOften("takers at fault", seen.takers, 500);
        for (uint256 i = 1; i < 9; ++i) {
            checkOften(string.concat("reason ", vm.toString(i)), seen.refusals[i], 100);
        }
        bytes4[9] memory expected = [
            ISettlement.NotConsecutive.selector,
            ISettlement.MalformedBatch.selector,
            ISettlement.InvalidSigner.selector,
            ISettlement.UnknownMarket.selector,
            ISettlement.Mismatched.selector,
            ISettlement.LimitCrossed.selector,
            ISettlement.Overfilled.selector,
            ISettlement.FeeAboveCap.selector,
            ISettlement.MalformedOrder.selector
        ];
        uint256 sum;
        for (uint256 i; i < expected.length; ++i) {
            checkOften(string.concat("error ", vm.toString(i)), errors[expected[i]], 3);
            sum += errors[expected[i]];
        }
        vm.assertEq(sum, seen.reverted);
    }

    function checkOften(string memory what, uint256 times, uint256 least) internal {
        emit log_named_uint(what, times);
        vm.assertLe(least, times, what);
    }
}
