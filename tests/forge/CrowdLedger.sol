// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {SETTLEMENT_WINDOW} from "../../contracts/interfaces/Types.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Pool} from "./Pool.sol";

/// @title The ghost: books kept in the plainest way, and the laws that hold between them and the contracts
/// @dev One balance per account and token, no netting, no packing. Numbers of the contracts are never read to keep it.
abstract contract CrowdLedger is Pool {
    struct GhostRequest {
        uint256 amount;
        uint256 maturesAt;
        address destination;
    }

    struct GhostSlot {
        uint48 sequence;
        uint256 filled;
    }

    /// @dev Orders with a sequence below `floor` are dead from `at`: of one slot, or of all.
    struct GhostCancel {
        uint256 at;
        uint256 slot;
        uint256 floor;
    }

    struct GhostAgent {
        uint256 expiry;
        uint256 revokedFrom;
        uint256 left;
    }

    uint256 internal constant ALL_SLOTS = type(uint256).max;
    uint256 internal constant AGENT_KEYS = 0xA9E0000;

    address[4] public actors;
    address[] internal holders;
    address[] internal bothTokens;

    mapping(address account => mapping(address token => uint256)) public balances;
    mapping(address account => mapping(address token => GhostRequest)) public requests;
    mapping(address account => mapping(uint16 slot => GhostSlot)) public slots;
    mapping(address account => uint48) public immediates;
    mapping(address account => GhostCancel[]) internal cancels;
    mapping(address account => GhostAgent) internal agents;
    mapping(address account => address) internal agentFor;
    uint256 public locked;
    uint256 public events;
    uint256 public fillCount;
    /// @dev What a unit is worth.
    uint256 public worth = 1e18;
    /// @dev Atoms of USDC that are in the Vault, and those that should be but were taken.
    uint256 public custody;
    uint256 public missing;
    /// @dev Atoms of USDC for which CXPT was minted.
    uint256 public converted;

    function actor(uint256 seed) internal view returns (address) {
        return actors[seed % 4];
    }

    function tokenOf(uint256 seed) internal view returns (address) {
        return seed % 2 == 0 ? address(usdc) : address(btc);
    }

    /* MONEY */

    function toUnits(uint256 atoms) internal view returns (uint256) {
        return atoms * 1e18 / worth;
    }

    function toAtoms(uint256 amount) internal view returns (uint256) {
        return amount * worth / 1e18;
    }

    function debitable(address account, address token) internal view returns (uint256) {
        GhostRequest memory open = requests[account][token];
        uint256 balance = balances[account][token];
        if (open.amount == 0 || block.timestamp < open.maturesAt) return balance;
        return balance > open.amount ? balance - open.amount : 0;
    }

    /// @dev What a matured request lets out now.
    function drawable(address account, address token) internal view returns (uint256) {
        GhostRequest memory open = requests[account][token];
        if (block.timestamp < open.maturesAt) return 0;
        return open.amount < balances[account][token] ? open.amount : balances[account][token];
    }

    function isInternal(address account, address token) internal view returns (bool) {
        return requests[account][token].destination == address(vault);
    }

    /// @dev `amount` of `account` leaves the Vault, or becomes the treasury's.
    function leave_(address account, address token, uint256 amount, bool asCxpt) internal {
        balances[account][token] -= amount;
        if (asCxpt) {
            balances[TREASURY][token] += amount;
            converted += toAtoms(amount);
        } else if (token == address(usdc)) {
            custody -= toAtoms(amount);
        }
        ++events;
    }

    /* ORDERS */

    function isCancelled(address account, uint16 slot, uint48 sequence) internal view returns (bool) {
        GhostCancel[] storage list = cancels[account];
        for (uint256 i; i < list.length; ++i) {
            GhostCancel storage one = list[i];
            bool isMeant = one.slot == ALL_SLOTS || one.slot == slot;
            if (isMeant && one.at <= block.timestamp && sequence < one.floor) return true;
        }
        return false;
    }

    function agentKey(address account) internal view returns (uint256) {
        return AGENT_KEYS + keyOf(account) % 0x10000;
    }

    /// @dev Whether what the account's agent signed does not settle any more.
    function isAgentOver(address account) internal view returns (bool) {
        GhostAgent memory agent = agents[account];
        return block.timestamp >= agent.expiry + SETTLEMENT_WINDOW
            || (agent.revokedFrom != 0 && block.timestamp >= agent.revokedFrom);
    }

    /* LAWS */

    function checkBalances() external view {
        (, uint256 last, IVault.Totals[] memory totals, uint256[][] memory found) = vault.reconcile(holders, bothTokens);
        vm.assertEq(last, events, "one number for every log");
        for (uint256 j; j < 2; ++j) {
            uint256 sum;
            for (uint256 i; i < holders.length; ++i) {
                vm.assertEq(found[i][j], balances[holders[i]][bothTokens[j]], "balance");
                sum += found[i][j];
            }
            checkTotals(totals[j], sum);
        }
        vm.assertEq(totals[0].locked, locked, "locked");
        checkCustody(totals);
    }

    /// @dev The accounts hold all there is.
    function checkTotals(IVault.Totals memory totals, uint256 sum) internal pure {
        vm.assertEq(sum, totals.internalTotal, "accounts hold the internal total");
        vm.assertEq(sum + totals.locked, totals.deposits + totals.minted - totals.withdrawals - totals.burned, "totals");
    }

    /// @dev The Vault has what it owes, but for a loss that nobody has declared yet; and a unit never gains.
    function checkCustody(IVault.Totals[] memory totals) internal view {
        vm.assertEq(usdc.balanceOf(address(vault)), custody, "custody");
        vm.assertEq(btc.balanceOf(address(vault)), totals[1].internalTotal, "custody of synths");
        vm.assertLe(toAtoms(totals[0].internalTotal + locked), custody + missing, "what is owed is there");
        vm.assertEq(vault.index(), worth, "index");
        vm.assertEq(cxpt.totalSupply(), converted * 10 ** 12, "cxpt");
    }

    function checkAccounts() external view {
        for (uint256 i; i < 4; ++i) {
            address account = actors[i];
            for (uint256 j; j < 2; ++j) {
                address token = bothTokens[j];
                vm.assertEq(vault.debitable(account, token), debitable(account, token), "debitable");
                IVault.Request memory open = vault.requestOf(account, token);
                vm.assertEq(open.amount, requests[account][token].amount, "request");
                if (open.amount != 0) vm.assertEq(open.destination, requests[account][token].destination);
            }
            vm.assertEq(vault.accountOf(account).immediateSequence, immediates[account], "immediate sequence");
            for (uint16 slot = 1; slot < 3; ++slot) {
                (uint48 sequence, uint64 filled) = settlement.slotOf(account, slot);
                vm.assertEq(sequence, slots[account][slot].sequence, "slot");
                vm.assertEq(filled, slots[account][slot].filled, "filled");
            }
            checkAgent(account);
        }
        vm.assertEq(settlement.lastFill(), fillCount, "fills");
    }

    function checkAgent(address account) internal view {
        (bool isEntitled, uint256 left,) = settlement.agentOf(account, agentFor[account], BTC_USDC);
        vm.assertTrue(isEntitled != isAgentOver(account), "agent");
        vm.assertEq(left, agents[account].left, "budget");
    }

    /// @dev Nothing stays in the row of a pair.
    function checkPool() external view {
        vm.assertEq(units(address(btcPool)), 0);
        vm.assertEq(vault.balanceOf(address(btcPool), address(btc)), 0);
    }
}
