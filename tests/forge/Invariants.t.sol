// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Change, Changes} from "../../contracts/libraries/Changes.sol";
import {Settlement} from "../../contracts/Settlement.sol";
import {Vault} from "../../contracts/Vault.sol";
import {HostileCrowd} from "./HostileCrowd.sol";
import {HostileToken} from "./HostileToken.sol";
import {Test} from "./Test.sol";

/// @title Whatever the crowd does, and whoever is hostile to it, the contracts say what the ghost says
/// @dev docs/audit/invariants.md says what each number means.
contract InvariantsTest is Test {
    struct Selectors {
        address target;
        bytes4[] selectors;
    }

    event log_named_uint(string name, uint256 value); // solhint-disable-line event-name-capwords

    HostileCrowd internal crowd;

    function setUp() public {
        crowd = new HostileCrowd();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    function targetSelectors() external view returns (Selectors[] memory targets) {
        targets = new Selectors[](1);
        targets[0] = Selectors(address(crowd), actions());
    }

    /// @dev Settling comes up more often than the rest.
    function actions() internal view returns (bytes4[] memory selectors) {
        bytes4[33] memory all = [
            crowd.settleSome.selector,
            crowd.settleSome.selector,
            crowd.settleSome.selector,
            crowd.settleSome.selector,
            crowd.settleSome.selector,
            crowd.wait_.selector,
            crowd.depositUnits.selector,
            crowd.mintLots.selector,
            crowd.burn.selector,
            crowd.lock.selector,
            crowd.unlock.selector,
            crowd.requestSome.selector,
            crowd.requestSome.selector,
            crowd.cancelRequest.selector,
            crowd.complete.selector,
            crowd.withdrawSome.selector,
            crowd.drawInside.selector,
            crowd.withdrawAtOnce.selector,
            crowd.cancelSome.selector,
            crowd.cancelOne.selector,
            crowd.changeAgent.selector,
            crowd.moveThePool.selector,
            crowd.pauseBoth.selector,
            crowd.callBack.selector,
            crowd.tokenFails.selector,
            crowd.tokenIsSilent.selector,
            crowd.lose.selector,
            crowd.cheat.selector,
            crowd.rob.selector,
            crowd.goAlone.selector,
            crowd.knock.selector,
            crowd.getOut.selector,
            crowd.upgrade.selector
        ];
        selectors = new bytes4[](all.length);
        for (uint256 i; i < all.length; ++i) {
            selectors[i] = all[i];
        }
    }

    /// @dev The laws of conservation, custody and the index; slots, sequences and budgets; and that no hostile attempt
    /// left a trace. Order limits, fees, cancels, expiries, sums and gas are asked by every batch itself.
    function invariant_I1_I2_I3_I4_I5_I6_I7_I8_I13_I14_contracts_agree_with_the_ghost() public view {
        this.laws();
    }

    /// @dev I9, at the end of every run, wherever it got to.
    function afterInvariant() public {
        crowd.everyoneOut();
    }

    /// @dev The invariant says little if the crowd only ever does little.
    function test_the_hostile_crowd_gets_everywhere() public {
        bytes4[] memory all = actions();
        for (uint256 step; step < 4_000; ++step) {
            uint256 seed = uint256(keccak256(abi.encode("crowd", step)));
            vm.assertEq(_try(all[seed % all.length], seed), "", "an action failed");
        }
        crowd.checkBalances();
        crowd.checkAccounts();
        crowd.checkHostile();
        crowd.everyoneOut();
        atLeast("fills", crowd.fillCount(), 300);
        atLeast("refusals", crowd.refusalCount(), 50);
        atLeast("by agents", crowd.agentFills(), 50);
        atLeast("legs", crowd.legCount(), 20);
        atLeast("upgrades", crowd.upgrades(), 10);
        atLeast("losses", crowd.losses(), 5);
        atLeast("capped", crowd.capped(), 5);
        atLeast("cheats", crowd.cheats(), 20);
        atLeast("robberies", crowd.robberies(), 20);
        atLeast("knocks of the token", crowd.token().knocks(), 10);
    }

    /// @dev Numbers, or small ones where the action asks for a yes or no.
    /// @return reason Empty if it went well.
    function _try(bytes4 action, uint256 seed) private returns (bytes memory reason) {
        bytes memory wide = abi.encode(seed >> 8, seed >> 48 & 0xFFFFFFFF, seed >> 80 & 0xFFFFFFFF, seed >> 120 & 1);
        bytes memory narrow = abi.encode(seed >> 8, seed >> 48 & 1, seed >> 80 & 1, seed >> 120 & 1);
        bytes memory middle = abi.encode(seed >> 8, seed >> 48 & 0xFFFFFFFF, seed >> 80 & 1, seed >> 120 & 1);
        bytes[3] memory arguments = [wide, middle, narrow];
        for (uint256 i; i < 3; ++i) {
            bool success;
            // solhint-disable-next-line avoid-low-level-calls
            (success, reason) = address(crowd).call(bytes.concat(action, arguments[i]));
            if (success || reason.length != 0) return success ? bytes("") : reason;
        }
        return "its arguments";
    }

    function atLeast(string memory what, uint256 seen, uint256 expected) private {
        emit log_named_uint(what, seen);
        vm.assertTrue(seen >= expected, what);
    }

    /* LAWS THAT CAN BE BROKEN */

    /// @dev As if the contracts did one thing that they must not: no law may miss it.
    function test_the_laws_notice_what_is_wrong() public {
        (Vault vault, Settlement settlement, HostileToken usdc) = (crowd.vaultOf(), crowd.settlementOf(), crowd.token());
        (address alice, address bob) = (crowd.actors(0), crowd.actors(1));
        address btc = settlement.marketOf(1).baseToken;
        (address[] memory both, Change[] memory changes) = (new address[](2), new Change[](2));
        (both[0], both[1], changes[0], changes[1]) = (alice, bob, Changes.pack(-1, 0), Changes.pack(1, 0));
        bytes memory robbed = abi.encodeCall(vault.applySettlement, (address(usdc), both, changes));
        bytes memory robbedOfSynth = abi.encodeCall(vault.applySettlement, (btc, both, changes));

        breaks(address(vault), address(usdc), abi.encodeCall(usdc.transfer, (alice, 1)), "I1: custody");
        breaks(address(vault), btc, abi.encodeWithSignature("mint(address,uint256)", vault, 1), "I1: supply");
        breaks(address(crowd), address(vault), abi.encodeCall(vault.mintSynth, (btc, alice, 1)), "I1: minted");
        breaks(address(settlement), address(vault), robbed, "I6: units");
        breaks(address(settlement), address(vault), robbedOfSynth, "I6: atoms");
        breaks(address(settlement), address(vault), abi.encodeCall(vault.takeSequence, ()), "I7: sequence");
        changes[0] = changes[1] = Changes.pack(0, 1_000);
        robbed = abi.encodeCall(vault.applySettlement, (address(usdc), both, changes));
        breaks(address(settlement), address(vault), robbed, "I7: immediate sequence");
        breaks(alice, address(vault), abi.encodeCall(vault.requestWithdrawal, (btc, 1, bob)), "I6: request");
        breaks(
            alice, address(settlement), abi.encodeCall(settlement.revokeAgent, (alice, crowd.agentOf(0))), "I8: agent"
        );
        breaks(address(this), address(this), abi.encodeCall(this.fill, (settlement, alice)), "I4: slot");
        breaks(address(this), address(this), abi.encodeCall(this.forget, (vault)), "I14: storage");
    }

    function breaks(address sender, address target, bytes memory data, string memory what) private {
        uint256 before = vm.snapshotState();
        vm.prank(sender);
        // solhint-disable-next-line avoid-low-level-calls
        (bool success,) = target.call(data);
        vm.assertTrue(success, what);
        // solhint-disable-next-line no-empty-blocks
        try this.laws() {
            success = false;
        } catch {} // solhint-disable-line no-empty-blocks
        vm.assertTrue(success, what);
        vm.revertToState(before);
        this.laws();
    }

    function laws() external view {
        crowd.checkBalances();
        crowd.checkAccounts();
        crowd.checkPool();
        crowd.checkHostile();
    }

    /// @dev One lot more in slot 1: `SettlementTwinTest` proves where slots are.
    function fill(Settlement settlement, address account) external {
        bytes32 place = keccak256(abi.encode(uint256(uint160(account)) << 16 | 1, 3));
        vm.store(address(settlement), place, bytes32(uint256(vm.load(address(settlement), place)) + (1 << 48)));
    }

    /// @dev The word of the index, one bit off.
    function forget(Vault vault) external {
        bytes32 location =
            keccak256(abi.encode(uint256(keccak256("hooats.storage.Vault")) - 1)) & ~bytes32(uint256(0xff));
        for (uint256 i; i < 12; ++i) {
            bytes32 place = bytes32(uint256(location) + i);
            bytes32 word = vm.load(address(vault), place);
            for (uint256 shift; shift < 256; shift += 8) {
                if (uint64(uint256(word) >> shift) != 1e18) continue;
                vm.store(address(vault), place, word ^ bytes32(1 << shift));
                return;
            }
        }
        revert("no index");
    }
}
