// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {
    AgentTerms,
    Authorization,
    EXIT_DELAY,
    SETTLEMENT_WINDOW,
    Withdrawal
} from "../../contracts/interfaces/Types.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {CrowdLedger} from "./CrowdLedger.sol";

/// @title What the four do besides trading: deposits, every way out, cancels, agents
/// @dev Every action is bounded so that it must succeed, or says which error it must end in.
abstract contract CrowdMoney is CrowdLedger {
    uint256 internal withdrawalNonce;
    /// @dev The last one that was paid.
    Withdrawal internal used;

    /* MONEY */

    function depositUnits(uint256 who, uint256 amount) public {
        amount = bound(amount, 1, 2_000_000);
        giveUnits(actor(who), amount);
        balances[actor(who)][address(usdc)] += toUnits(amount);
        custody += amount;
        ++events;
    }

    function mintLots(uint256 who, uint256 lots) public {
        lots = bound(lots, 1, 20_000);
        giveLots(actor(who), lots);
        balances[actor(who)][address(btc)] += lots * BASE_PER_LOT;
        ++events;
    }

    function burn(uint256 who, uint256 amount) public {
        address account = actor(who);
        uint256 free = debitable(account, address(btc));
        if (free == 0) return;
        amount = bound(amount, 1, free);
        vault.burnSynth(
            address(btc), account, amount, approve(account, address(btc), amount, VaultMessages.PURPOSE_BURN)
        );
        balances[account][address(btc)] -= amount;
        ++events;
    }

    function lock(uint256 who, uint256 amount) public {
        address account = actor(who);
        uint256 free = debitable(account, address(usdc));
        if (free == 0) return;
        amount = bound(amount, 1, free);
        vault.lockCollateral(account, amount, approve(account, address(usdc), amount, VaultMessages.PURPOSE_LOCK));
        balances[account][address(usdc)] -= amount;
        locked += amount;
        ++events;
    }

    function unlock(uint256 who, uint256 amount) public {
        if (locked == 0) return;
        amount = bound(amount, 1, locked);
        vault.unlockCollateral(actor(who), amount);
        balances[actor(who)][address(usdc)] += amount;
        locked -= amount;
        ++events;
    }

    /* WITHDRAWALS */

    /// @dev To oneself, to a stranger, or (for locking and burning) to the Vault.
    function requestSome(uint256 who, uint256 which, uint128 amount, uint256 where) public {
        (address account, address token) = (actor(who), tokenOf(which));
        if (requests[account][token].amount != 0) return;
        amount = uint128(bound(amount, 1, 2 * balances[account][token] + 1));
        address destination = [account, account, STRANGER, address(vault)][where % 4];
        vm.prank(account);
        vault.requestWithdrawal(token, amount, destination);
        requests[account][token] = GhostRequest(amount, block.timestamp + EXIT_DELAY, destination);
        ++events;
    }

    function cancelRequest(uint256 who, uint256 which) public {
        (address account, address token) = (actor(who), tokenOf(which));
        if (requests[account][token].amount == 0) return;
        vm.prank(account);
        vault.cancelWithdrawalRequest(token);
        delete requests[account][token];
        ++events;
    }

    /// @dev By anybody, to where the request says and nowhere else.
    function complete(uint256 who, uint256 which) public {
        (address account, address token) = (actor(who), tokenOf(which));
        uint256 paid = drawable(account, token);
        if (paid == 0) return;
        if (isInternal(account, token)) {
            vm.expectRevert(IVault.InternalDestination.selector);
            vault.completeWithdrawal(account, token);
            return;
        }
        pay(account, token, paid);
    }

    /// @dev The whole of what is drawable arrives.
    function pay(address account, address token, uint256 paid) internal {
        beforeLeaving(token, paid);
        address to = requests[account][token].destination;
        uint256 before = IERC20(token).balanceOf(to);
        vm.prank(STRANGER);
        vault.completeWithdrawal(account, token);
        vm.assertEq(IERC20(token).balanceOf(to) - before, token == address(usdc) ? toAtoms(paid) : paid, "paid");
        leave_(account, token, paid, false);
        requests[account][token].amount -= paid;
    }

    function withdrawSome(uint256 who, uint256 amount, bool asCxpt) public {
        address account = actor(who);
        uint256 limit = drawable(account, address(usdc));
        if (limit == 0) return;
        amount = bound(amount, 1, limit);
        beforeLeaving(address(usdc), amount);
        bool isRefused = isInternal(account, address(usdc));
        if (isRefused) vm.expectRevert(IVault.InternalDestination.selector);
        vm.prank(account);
        vault.withdraw(amount, asCxpt);
        if (isRefused) return;
        requests[account][address(usdc)].amount -= amount;
        leave_(account, address(usdc), amount, asCxpt);
    }

    /// @dev Locking and burning draw on a matured request, wherever it was to go.
    function drawInside(uint256 who, uint256 which, uint256 amount) public {
        (address account, address token) = (actor(who), tokenOf(which));
        uint256 limit = drawable(account, token);
        if (limit == 0) return;
        amount = bound(amount, 1, limit);
        if (token == address(usdc)) {
            vault.lockCollateral(account, amount, drawOnRequest());
            locked += amount;
        } else {
            vault.burnSynth(token, account, amount, drawOnRequest());
        }
        requests[account][token].amount -= amount;
        balances[account][token] -= amount;
        ++events;
    }

    function withdrawAtOnce(uint256 who, uint256 which, uint256 amount, bool asCxpt) public {
        (address account, address token) = (actor(who), tokenOf(which));
        uint256 free = debitable(account, token);
        if (free == 0) return;
        Withdrawal memory withdrawal = withdrawalOf(account, token, bound(amount, 1, free), ++withdrawalNonce);
        withdrawal.asCxpt = asCxpt && token == address(usdc);
        bytes memory signature = signWithdrawal(withdrawal);
        Authorization memory approval = approveWithdrawal(withdrawal);
        beforeLeaving(token, withdrawal.amount);
        bool isRefused = isCapped(token, withdrawal.amount);
        if (isRefused) vm.expectPartialRevert(IVault.OutflowCapped.selector);
        vault.withdrawApproved(withdrawal, signature, approval);
        if (isRefused) return;
        leave_(account, token, withdrawal.amount, withdrawal.asCxpt);
        used = withdrawal;
    }

    /// @dev What has to be done so that this can be paid; nothing is missing here.
    function beforeLeaving(address, uint256) internal virtual {}

    /// @dev Whether the cap on what leaves with a countersignature lets this out; there is none here.
    function isCapped(address, uint256) internal virtual returns (bool) {
        return false;
    }

    /* TIME AND CANCELS */

    function wait_(uint256 time) public {
        vm.warp(block.timestamp + bound(time, 1, 6 minutes));
    }

    function cancelSome(uint256 who, uint48 floor) public {
        address account = actor(who);
        // Near the sequences in use, so that it matters.
        floor = uint48(bound(floor, 0, 3)) + slots[account][1].sequence;
        vm.prank(account);
        settlement.cancelAll(floor);
        cancels[account].push(GhostCancel(block.timestamp + SETTLEMENT_WINDOW, ALL_SLOTS, floor));
        ++events;
    }

    function cancelOne(uint256 who, uint256 which, uint48 sequence) public {
        address account = actor(who);
        uint16 slot = uint16(which % 3);
        sequence = uint48(bound(sequence, 0, 3)) + (slot == 0 ? immediates[account] : slots[account][slot].sequence);
        vm.prank(account);
        settlement.cancel(nonceOf(slot, sequence));
        cancels[account].push(GhostCancel(block.timestamp + SETTLEMENT_WINDOW, slot, uint256(sequence) + 1));
        ++events;
    }

    /* AGENTS */

    function appoint(address account, uint256 time, uint128 budget) internal {
        uint40 expiry = uint40(block.timestamp + time);
        vm.prank(account);
        settlement.registerAgent(AgentTerms(agentFor[account], expiry, budget, new uint32[](0)));
        agents[account] = GhostAgent(expiry, 0, budget);
        ++events;
    }

    /// @dev A new one when the old one is over, otherwise now and then a revocation, by either of the two.
    function changeAgent(uint256 who, uint256 time, uint256 budget, bool isBySelf) public {
        address account = actor(who);
        address agent = agentFor[account];
        if (isAgentOver(account)) {
            time = bound(time, 1, time % 2 == 0 ? 1 hours : 10 days);
            appoint(account, time, uint128(budget % 4 == 0 ? type(uint128).max : budget % 10_000_000));
        } else if (agents[account].revokedFrom == 0) {
            if (time % 3 != 0) return;
            vm.prank(isBySelf ? agent : account);
            settlement.revokeAgent(account, agent);
            agents[account].revokedFrom = block.timestamp + SETTLEMENT_WINDOW;
            ++events;
        } else {
            vm.prank(account);
            vm.expectPartialRevert(ISettlement.AgentStillBinds.selector);
            settlement.registerAgent(AgentTerms(agent, type(uint40).max, 1, new uint32[](0)));
        }
    }
}
