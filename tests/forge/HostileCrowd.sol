// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Authorization, EXIT_DELAY, Order, SIDE_BUY, SIDE_SELL, Withdrawal} from "../../contracts/interfaces/Types.sol";
import {Change} from "../../contracts/libraries/Changes.sol";
import {PAUSE_REST} from "../../contracts/libraries/PauseRules.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {TestUSDC} from "../../contracts/mocks/TestUSDC.sol";
import {VaultTwo} from "../../contracts/mocks/VaultTwo.sol";
import {Settlement} from "../../contracts/Settlement.sol";
import {Vault} from "../../contracts/Vault.sol";
import {Crowd} from "./Crowd.sol";
import {HostileToken} from "./HostileToken.sol";

/// @dev What the Vault asks of an upgrader.
contract PatientUpgrader {
    function getMinDelay() external pure returns (uint256) {
        return 24 hours;
    }
}

/// @title The crowd, and everybody whom it has to fear
/// @dev A settler and a cosigner who cheat, a stranger who tries every door, an operator who is gone, a token that calls
/// back, lies and disappears, a guardian who pauses, an upgrader. What they try must fail; the ghost, which hears nothing
/// of it, says that nothing moved.
contract HostileCrowd is Crowd {
    struct Exit {
        uint256 at;
        uint256 amount;
    }

    uint128 internal constant CAP_PER_HOUR = 400_000;
    uint256 internal constant MALLORY_KEY = 0xBAD;
    uint256 internal constant CHEATS = 12;

    address internal mallory = vm.addr(MALLORY_KEY);
    address internal upgrader = address(new PatientUpgrader());
    address[2] internal implementations = [address(new Vault()), address(new VaultTwo())];
    Exit[] internal exits;
    uint256 public upgrades;
    uint256 public losses;
    uint256 public capped;
    uint256 public cheats;
    uint256 public robberies;

    constructor() {
        vault.setOutflowCap(address(usdc), CAP_PER_HOUR);
        vault.grantRole(vault.UPGRADER_ROLE(), upgrader);
    }

    function newUsdc() internal override returns (TestUSDC) {
        return new HostileToken();
    }

    function vaultOf() external view returns (Vault) {
        return vault;
    }

    function settlementOf() external view returns (Settlement) {
        return settlement;
    }

    function agentOf(uint256 who) external view returns (address) {
        return agentFor[actor(who)];
    }

    function token() public view returns (HostileToken) {
        return HostileToken(address(usdc));
    }

    /* A TOKEN OF NO STANDARD */

    /// @dev From now on whatever the Vault pays or is paid calls it again: with what would work from outside.
    function callBack(uint256 what, uint256 who) external {
        bytes[4] memory payloads = [
            bytes(""),
            abi.encodeCall(vault.requestWithdrawal, (address(btc), 1, address(usdc))),
            abi.encodeCall(vault.declareLoss, ()),
            abi.encodeCall(vault.completeWithdrawal, (actor(who), address(btc)))
        ];
        token().callBack(address(vault), payloads[what % 4]);
    }

    /// @dev While the token fails nobody brings or gets anything, and nobody's balance or request is lower for it.
    function tokenFails(uint256 who, uint256 how) external {
        address account = actor(who);
        HostileToken.Mood mood = how % 2 == 0 ? HostileToken.Mood.ReturnsFalse : HostileToken.Mood.Reverts;
        usdc.mint(address(this), 1_000);
        usdc.approve(address(vault), 1_000);
        token().be(mood);
        mustFail(address(this), address(vault), abi.encodeCall(vault.depositFor, (account, 1_000)));
        if (drawable(account, address(usdc)) != 0) {
            mustFail(STRANGER, address(vault), abi.encodeCall(vault.completeWithdrawal, (account, address(usdc))));
        }
        token().be(HostileToken.Mood.Standard);
    }

    /// @dev A token that answers nothing is as good as one that answers true.
    function tokenIsSilent(uint256 who, uint256 amount) external {
        token().be(HostileToken.Mood.ReturnsNothing);
        depositUnits(who, amount);
        complete(who, 0);
        token().be(HostileToken.Mood.Standard);
    }

    /* LOSS */

    /// @dev The token takes something away, and somebody has it declared, or not yet.
    function lose(uint256 atoms, bool isDeclared) external {
        atoms = bound(atoms, 0, custody / 50);
        // By its own book: no transfer of the Vault's.
        deal(usdc.balanceOf(address(vault)) - atoms);
        custody -= atoms;
        missing += atoms;
        if (isDeclared) declare();
    }

    /// @dev Storage of the token: balances are its first mapping.
    function deal(uint256 atoms) private {
        bytes32 place = keccak256(abi.encode(address(vault), uint256(0)));
        vm.assertEq(uint256(vm.load(address(usdc), place)), usdc.balanceOf(address(vault)));
        vm.store(address(usdc), place, bytes32(atoms));
    }

    /// @dev The index falls to what is there, and only if something is missing.
    function declare() public {
        uint256 all = locked;
        for (uint256 i; i < holders.length; ++i) {
            all += balances[holders[i]][address(usdc)];
        }
        bool isShort = custody < toAtoms(all);
        if (!isShort) vm.expectRevert(IVault.NoShortfall.selector);
        vm.prank(STRANGER);
        vault.declareLoss();
        if (!isShort) return;
        worth = custody * 1e18 / all;
        missing = 0;
        ++events;
        ++losses;
    }

    /// @dev Until a loss is declared, who leaves is paid in full, as long as there is enough.
    function beforeLeaving(address token_, uint256 amount) internal override {
        if (token_ == address(usdc) && toAtoms(amount) > custody) declare();
    }

    /* THE CAP */

    /// @dev A cosigner with stolen owners' keys lets out no more than the cap at once and twice the cap in any hour.
    function isCapped(address token_, uint256 amount) internal override returns (bool) {
        if (token_ != address(usdc)) return false;
        (, uint256 left) = vault.outflowOf(token_);
        vm.assertLe(left, CAP_PER_HOUR);
        if (amount > left) {
            ++capped;
            return true;
        }
        exits.push(Exit(block.timestamp, amount));
        uint256 sum;
        for (uint256 i = exits.length; i != 0 && exits[i - 1].at + 1 hours >= block.timestamp; --i) {
            sum += exits[i - 1].amount;
        }
        vm.assertLe(sum, 2 * CAP_PER_HOUR, "an hour");
        return false;
    }

    /* A SETTLER WHO CHEATS */

    /// @dev Two orders that would trade, and one thing about the batch that is wrong.
    function cheat(uint256 seed) external {
        uint256 how = seed % CHEATS;
        (address left, address right) = (actor(seed >> 8), actor((seed >> 8) % 4 + 1 + (seed >> 16) % 3));
        uint64 price = uint64(2 + (seed >> 24) % 5_000);
        // Beyond every cancel and every order so far.
        uint48 sequence = 1e9 + uint48(seed >> 64 & 0xFFFF);
        Order memory maker = resting(left, SIDE_SELL, price, 10, nonceOf(9, sequence));
        Order memory taker = resting(right, SIDE_BUY, price, 10, nonceOf(9, sequence));
        (uint64 lots, int32 makerPpm, int32 takerPpm) = (10, 0, 0);
        if (how == 0) taker.priceTicks = price - 1;
        else if (how == 1) takerPpm = CAP + 1;
        else if (how == 2) lots = 11;
        else if (how == 3) (makerPpm, takerPpm) = (-2_000, 1_999);
        else if (how == 4) (taker.account, taker.nonce) = (left, nonceOf(8, sequence));
        else if (how == 5) taker.side = SIDE_SELL;

        add(maker, how == 6 ? MALLORY_KEY : how == 7 ? agentKey(right) : keyOf(maker.account));
        add(taker);
        match_(0, 1, lots, makerPpm, takerPpm);
        if (how == 8) orders[0].priceTicks = price - 1;
        else if (how == 9) signatures[1] = sign(keyOf(right), digestOf(vault.domainSeparator(), bytes32(seed)));
        else if (how == 10) add(maker);
        bytes memory batch = pack(take());
        // Another beginning: what was settled already, or what is not there yet.
        if (how == 11) batch = aWrongBeginning(batch, seed);
        mustFail(address(this), address(settlement), abi.encodeCall(settlement.settle, (batch)));
        ++cheats;
    }

    function aWrongBeginning(bytes memory batch, uint256 seed) private view returns (bytes memory) {
        uint64 first = uint64((seed >> 128) % (2 * settlement.lastFill() + 3));
        if (first == settlement.lastFill() + 1) ++first;
        for (uint256 i; i < 8; ++i) {
            batch[i] = bytes8(first)[i];
        }
        return batch;
    }

    /* A COSIGNER WHO STEALS, A STRANGER AT EVERY DOOR */

    /// @dev The cosigner signs anything; no owner does.
    function rob(uint256 seed, uint256 who, uint256 which) external {
        (address account, address token_) = (actor(who), tokenOf(which));
        Withdrawal memory withdrawal = withdrawalOf(account, token_, 1 + seed % 100, 2 ** 200 + robberies);
        bytes memory signature;
        seed >>= 8;
        if (seed % 5 == 0) {
            withdrawal.destination = mallory;
        } else if (seed % 5 == 1) {
            signature = sign(MALLORY_KEY, digestOf(vault.domainSeparator(), bytes32(seed)));
        } else if (seed % 5 == 2) {
            signature = sign(
                COSIGNER_KEY,
                digestOf(vault.domainSeparator(), keccak256(abi.encode(VaultMessages.WITHDRAW_TYPE_HASH, withdrawal)))
            );
        } else if (seed % 5 == 3) {
            // What the owner signed, to somewhere else, for more, or for another.
            signature = signWithdrawal(withdrawal);
            if (seed % 3 == 0) withdrawal.destination = mallory;
            else if (seed % 3 == 1) withdrawal.amount += 1;
            else withdrawal.account = actor(who % 4 + 1);
        } else {
            // Once more what was paid already; at first an empty one.
            withdrawal = used;
            if (withdrawal.account != address(0)) signature = signWithdrawal(withdrawal);
        }
        Authorization memory approval = approveWithdrawal(withdrawal);
        mustFail(mallory, address(vault), abi.encodeCall(vault.withdrawApproved, (withdrawal, signature, approval)));
        ++robberies;
    }

    /// @dev The other way round: the owner signs, the cosigner did not, or not this, or not now.
    function goAlone(uint256 seed, uint256 who, uint256 which) external {
        (address account, address token_) = (actor(who), tokenOf(which));
        uint256 amount = 1 + seed % 100;
        seed >>= 8;
        Withdrawal memory withdrawal = withdrawalOf(account, token_, amount, 2 ** 210 + robberies);
        bytes32 purpose = purposeOf(withdrawal);
        uint256 key = [MALLORY_KEY, keyOf(account), COSIGNER_KEY, COSIGNER_KEY, COSIGNER_KEY][seed % 5];
        // Another amount, a deadline that passed, or no number. (A used one says nothing here: the owner's is used up.)
        uint256 signed = seed % 5 == 2 ? amount + 1 : amount;
        uint256 deadline = seed % 5 == 3 ? block.timestamp - 1 : block.timestamp + 1;
        uint256 number = seed % 5 == 4 ? 0 : approvalNonce + 1;
        Authorization memory forged = approveBy(key, account, token_, signed, purpose, number, deadline);
        bytes memory signature = signWithdrawal(withdrawal);
        mustFail(mallory, address(vault), abi.encodeCall(vault.withdrawApproved, (withdrawal, signature, forged)));
        mustFail(address(this), address(vault), abi.encodeCall(vault.lockCollateral, (account, amount, forged)));
        ++robberies;
    }

    /// @dev A call that only a role may make, or one that makes no sense.
    function knock(uint256 how, uint256 who, uint256 amount) external {
        address account = actor(who);
        amount = bound(amount, 1, 1_000);
        (address target, bytes memory data) = (address(vault), bytes(""));
        how %= 13;
        (address[] memory accounts, Change[] memory changes) = movement(account, mallory, amount);
        Authorization memory none = drawOnRequest();
        if (how == 0) data = abi.encodeCall(vault.mintSynth, (address(btc), mallory, amount));
        else if (how == 1) data = abi.encodeCall(vault.burnSynth, (address(btc), account, amount, none));
        else if (how == 2) data = abi.encodeCall(vault.lockCollateral, (account, amount, none));
        else if (how == 3) data = abi.encodeCall(vault.unlockCollateral, (mallory, amount));
        else if (how == 4) data = abi.encodeCall(vault.applySettlement, (address(usdc), accounts, changes));
        else if (how == 5) data = abi.encodeCall(vault.exchange, (account, address(usdc), address(btc), amount));
        else if (how == 6) data = abi.encodeCall(vault.raiseCancelFloor, (account, type(uint48).max, 1));
        else if (how == 7) data = abi.encodeCall(vault.takeSequence, ());
        else if (how == 8) data = abi.encodeCall(vault.upgradeToAndCall, (implementations[0], ""));
        else if (how == 9) data = abi.encodeCall(vault.setOutflowCap, (address(usdc), 0));
        else if (how == 10) data = abi.encodeCall(vault.grantRole, (vault.CORE_ROLE(), mallory));
        else if (how == 11) (target, data) = (address(settlement), abi.encodeCall(settlement.settle, ("")));
        else (target, data) = (address(btc), abi.encodeCall(btc.mint, (mallory, amount)));
        mustFail(mallory, target, data);
    }

    function mustFail(address sender, address target, bytes memory data) internal {
        vm.prank(sender);
        // solhint-disable-next-line avoid-low-level-calls
        (bool isDone,) = target.call(data);
        vm.assertFalse(isDone);
    }

    /* AN OPERATOR WHO IS GONE */

    /// @dev All keys of the operator are lost, everything that can be paused is: a matured request is paid all the same.
    function getOut(uint256 who, uint256 which, bool isPaused) external {
        (address account, address token_) = (actor(who), tokenOf(which));
        isPaused = isPaused && (lastPause == 0 || block.timestamp >= lastPause + PAUSE_REST);
        if (isPaused) {
            vault.pause();
            settlement.pause();
        }
        if (isInternal(account, token_) && requests[account][token_].amount != 0) {
            cancelRequest(who, which);
        }
        if (requests[account][token_].amount == 0 && balances[account][token_] != 0) requestAll(account, token_);
        vm.warp(block.timestamp + EXIT_DELAY);
        uint256 paid = drawable(account, token_);
        if (paid != 0) pay(account, token_, paid);
        if (!isPaused) return;
        vault.unpause();
        settlement.unpause();
        lastPause = block.timestamp;
    }

    function requestAll(address account, address token_) private {
        uint128 amount = uint128(balances[account][token_]);
        request(account, token_, amount);
        requests[account][token_] = GhostRequest(amount, block.timestamp + EXIT_DELAY, account);
        ++events;
    }

    /// @dev From wherever the crowd is: a loss is declared, everybody asks, and E later everybody has all of it.
    function everyoneOut() external {
        declare();
        token().callBack(address(vault), "");
        for (uint256 step; step < 2; ++step) {
            for (uint256 i; i < 8; ++i) {
                (address account, address token_) = (actors[i / 2], tokenOf(i));
                if (step == 0 && requests[account][token_].amount != 0) cancelRequest(i / 2, i);
                if (step == 0 && balances[account][token_] != 0) requestAll(account, token_);
                if (step == 1 && balances[account][token_] != 0) pay(account, token_, drawable(account, token_));
                if (step == 1) vm.assertEq(vault.balanceOf(account, token_), 0, "out");
            }
            if (step == 0) vm.warp(block.timestamp + EXIT_DELAY);
        }
        this.checkBalances();
    }

    /* AN UPGRADE */

    /// @dev At any time: what comes after it is compared with the same ghost.
    function upgrade() external {
        vm.prank(upgrader);
        vault.upgradeToAndCall(implementations[++upgrades % 2], "");
    }

    function checkHostile() external view {
        vm.assertTrue(!token().wasLetIn(), "the Vault was entered again");
        vm.assertEq(usdc.balanceOf(mallory) + btc.balanceOf(mallory) + cxpt.balanceOf(mallory), 0, "robbed");
        vm.assertEq(units(mallory) + vault.balanceOf(mallory, address(btc)), 0, "robbed inside");
    }
}
