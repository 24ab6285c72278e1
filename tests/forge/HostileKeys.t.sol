// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Authorization, Withdrawal} from "../../contracts/interfaces/Types.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {HostileVenue} from "./HostileVenue.sol";

/// @title A malicious cosigner, committer and guardian, each alone and all at once
/// @dev Every attempt is judged: it fails, and what belongs to the honest is what it was. Honest withdrawals go on all
/// the while, and never fail.
contract HostileKeysTest is HostileVenue {
    /// @dev What somebody brings to the Vault.
    struct Papers {
        Withdrawal withdrawal;
        bytes signature;
        Authorization authorization;
    }

    bytes32 internal constant DOMAIN_TYPE_HASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    uint256 internal constant ALTERATIONS = 23;

    Papers[] internal used;
    uint256 internal paidOut;

    /* THE TESTS */

    function sign(uint256 key, bytes32 digest) internal pure override returns (bytes memory) {
        return walletSign(key, digest);
    }

    function test_a_malicious_cosigner_moves_nothing_and_stops_no_exit() public {
        vm.pauseGasMetering();
        for (uint256 i; i < 1_500; ++i) {
            this.cosignerAttempt(i);
            if (i % 10 == 0) this.honestStep();
        }
        vm.assertEq(attempts, 1_500);
        vm.assertGe(used.length, 60);
        vm.assertGe(exits, 20);
    }

    function test_a_malicious_committer_rewrites_nothing_and_moves_nothing() public {
        vm.pauseGasMetering();
        for (uint256 i; i < 1_000; ++i) {
            this.committerAttempt();
        }
        vm.assertEq(attempts, 1_000);
        vm.assertGe(headers.length, 100);
    }

    function test_a_malicious_guardian_moves_nothing_and_stops_no_exit() public {
        vm.pauseGasMetering();
        for (uint256 i; i < 1_000; ++i) {
            this.guardianAttempt();
            this.honestStep();
        }
        assertRunsAgain();
        vm.assertEq(attempts, 1_000);
        vm.assertGe(pauses, 10);
        vm.assertGe(exits, 200);
    }

    function test_all_of_them_together_move_nothing_and_stop_no_exit() public {
        vm.pauseGasMetering();
        for (uint256 i; i < 1_500; ++i) {
            this.anyAttempt(i);
            if (i % 2 == 0) this.honestStep();
        }
        assertRunsAgain();
        vm.assertEq(attempts, 1_500);
        vm.assertGe(exits, 100);
        vm.assertGe(pauses, 5);
        vm.assertGe(headers.length, 30);
        vm.assertGe(used.length, 15);
    }

    /// @dev The cosigner also trades: what it and a trader can do together costs nobody else anything.
    function test_a_cosigner_and_its_trader_take_no_more_than_the_trader_has() public {
        for (uint256 i; i < 100; ++i) {
            uint256 amount = draw(1, 3_000e6);
            Withdrawal memory own = withdrawalOf(mallory, address(usdc), amount, 10_000 + i);
            bool isCovered = amount <= units(mallory);
            Authorization memory approval = approveWithdrawal(own);
            vm.prank(mallory);
            (bool isDone,) = address(vault).call(abi.encodeCall(vault.withdrawApproved, (own, "", approval)));
            vm.assertTrue(isDone == isCovered);
            if (isDone) paidOut += amount;
            vm.assertEq(units(mallory) + paidOut, 1_000e6);
            assertUntouched();
        }
        vm.assertGe(paidOut, 500e6);
    }

    /* STEPS: CALLED FROM OUTSIDE, SO THAT EACH HAS ITS OWN MEMORY */

    function cosignerAttempt(uint256 i) external {
        if (i % 5 == 4) {
            _foreign(draw(0, 1) == 0 ? mallory : vm.addr(COSIGNER_KEY));
            return;
        }
        Papers memory papers = _papersOf(draw(0, HONEST - 1));
        if (i % 20 == 0) _present(papers);
        else _abusePapers(papers, draw(0, ALTERATIONS - 1));
    }

    function committerAttempt() external {
        uint256 choice = draw(0, 9);
        if (choice == 0) _foreign(COMMITTER);
        else abuseCommitment();
        if (choice < 3) commitNext();
    }

    function guardianAttempt() external {
        uint256 choice = draw(0, 3);
        if (choice == 0) _foreign(GUARDIAN);
        else abusePause();
    }

    function anyAttempt(uint256 i) external {
        uint256 choice = draw(0, 4);
        if (choice == 0) abusePause();
        else if (choice == 1) this.committerAttempt();
        else this.cosignerAttempt(i);
    }

    function honestStep() external {
        timePasses();
        exitStep();
    }

    /* PAPERS */

    /// @dev A withdrawal that a user really signed, and the countersignature for it.
    function _papersOf(uint256 i) private returns (Papers memory papers) {
        address user = users[i];
        Withdrawal memory signed = withdrawalOf(user, address(usdc), draw(1, 50e6), ++ownerNonce);
        papers.withdrawal = signed;
        papers.signature = _sign(userKey(i), signed, vault.domainSeparator());
        papers.authorization = approveWithdrawal(signed);
    }

    function _sign(uint256 key, Withdrawal memory withdrawal, bytes32 separator) private pure returns (bytes memory) {
        return sign(key, digestOf(separator, purposeOf(withdrawal)));
    }

    /// @dev The control: unaltered papers move exactly what they say.
    function _present(Papers memory papers) private {
        Withdrawal memory w = papers.withdrawal;
        (uint256 balance, uint256 wallet) = (units(w.account), usdc.balanceOf(w.account));
        ++attempts;
        if (vault.debitable(w.account, w.token) < w.amount) return;
        vm.prank(mallory);
        vault.withdrawApproved(w, papers.signature, papers.authorization);
        vm.assertEq(balance - units(w.account), w.amount);
        vm.assertEq(usdc.balanceOf(w.account) - wallet, w.amount);
        used.push(papers);
        standingBefore = standingNow();
    }

    function _abusePapers(Papers memory papers, uint256 choice) private {
        Withdrawal memory w = papers.withdrawal;
        if (choice < 7) {
            _alter(w, choice);
            papers.authorization = approveWithdrawal(w);
        } else if (choice == 7) {
            papers.signature = "";
        } else if (choice == 8) {
            papers.signature = _sign(MALLORY_KEY, w, vault.domainSeparator());
        } else if (choice == 9) {
            papers.signature = _sign(COSIGNER_KEY, w, vault.domainSeparator());
        } else if (choice == 10) {
            if (used.length != 0) papers = used[draw(0, used.length - 1)];
            else papers.signature = "";
            papers.authorization = approveWithdrawal(papers.withdrawal);
        } else if (choice == 11) {
            w.deadline = block.timestamp - draw(1, 1 days);
            _signAgain(papers, vault.domainSeparator());
            papers.authorization = approveWithdrawal(w);
        } else if (choice == 12) {
            _signAgain(papers, _separator(block.chainid + draw(1, 1_000), address(vault)));
        } else if (choice == 13) {
            _signAgain(papers, _separator(block.chainid, [address(settlement), address(implementation)][draw(0, 1)]));
        } else if (choice == 14) {
            _breakSignature(papers.signature);
        } else if (choice == 22) {
            // Another message of the owner's own, with the countersignature of this one.
            if (draw(0, 1) == 0) w.nonce = ++ownerNonce;
            else w.deadline += draw(1, 365 days);
            _signAgain(papers, vault.domainSeparator());
        } else {
            papers.authorization = _badApproval(w, choice);
        }
        mustFail(
            draw(0, 3) == 0 ? vm.addr(COSIGNER_KEY) : mallory,
            address(vault),
            abi.encodeCall(vault.withdrawApproved, (papers.withdrawal, papers.signature, papers.authorization))
        );
        if (choice == 21) _abuseIssuer(w);
    }

    /// @dev One field is no longer what the owner signed.
    function _alter(Withdrawal memory w, uint256 field) private {
        if (field == 0) w.account = users[(draw(1, HONEST - 1) + _placeOf(w.account)) % HONEST];
        else if (field == 1) w.token = address(btc);
        else if (field == 2) w.amount = draw(0, 1) == 0 ? w.amount + draw(1, 1e6) : draw(0, w.amount - 1);
        else if (field == 3) w.destination = draw(0, 1) == 0 ? mallory : address(uint160(draw(1, type(uint160).max)));
        else if (field == 4) w.asCxpt = true;
        else if (field == 5) w.nonce += draw(1, type(uint64).max);
        else w.deadline += draw(1, 365 days);
    }

    function _placeOf(address user) private view returns (uint256 place) {
        while (users[place] != user) ++place;
    }

    function _signAgain(Papers memory papers, bytes32 separator) private view {
        papers.signature = _sign(userKey(_placeOf(papers.withdrawal.account)), papers.withdrawal, separator);
    }

    function _separator(uint256 chain, address verifier) private pure returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE_HASH, keccak256("HOOATS"), keccak256("1"), chain, verifier));
    }

    /// @dev A bit flipped, or a length that is no signature's.
    function _breakSignature(bytes memory signature) private {
        uint256 length = draw(0, 63);
        if (draw(0, 1) == 0) {
            signature[draw(0, 64)] ^= bytes1(uint8(1 << draw(0, 7)));
        } else {
            assembly ("memory-safe") {
                mstore(signature, length)
            }
        }
    }

    /// @dev The owner's signature is good; the countersignature is not this one's.
    function _badApproval(Withdrawal memory w, uint256 choice) private returns (Authorization memory) {
        bytes32 purpose = purposeOf(w);
        uint256 deadline = block.timestamp + 1 hours;
        if (choice == 15) {
            if (used.length != 0) return used[draw(0, used.length - 1)].authorization; // replayed
            return approveBy(COSIGNER_KEY, w.account, w.token, w.amount, purpose, 0, deadline);
        }
        if (choice == 16) {
            deadline = block.timestamp - draw(1, 1 days);
            return approveBy(COSIGNER_KEY, w.account, w.token, w.amount, purpose, ++approvalNonce, deadline);
        }
        if (choice == 17) {
            return approveBy(MALLORY_KEY, w.account, w.token, w.amount, purpose, ++approvalNonce, deadline);
        }
        if (choice == 18) return approve(w.account, w.token, w.amount + 1, purpose);
        if (choice == 19) return approve(w.account, w.token, w.amount, VaultMessages.PURPOSE_LOCK);
        if (choice == 20) return approve(mallory, w.token, w.amount, purpose);

        uint256 nonce = ++approvalNonce;
        bytes32 hash = VaultMessages.approvalHash(w.account, w.token, w.amount, purpose, nonce, deadline);
        bytes32 separator = draw(0, 1) == 0
            ? _separator(block.chainid + 1, address(vault))
            : _separator(block.chainid, address(settlement));
        return Authorization(nonce, deadline, sign(COSIGNER_KEY, digestOf(separator, hash)));
    }

    /// @dev Countersignatures of another's lock or burn, brought to the issuer by somebody who is not the other.
    function _abuseIssuer(Withdrawal memory w) private {
        --attempts; // one with the call before
        Authorization memory lock = approve(w.account, address(usdc), w.amount, VaultMessages.PURPOSE_LOCK);
        mustFail(
            mallory, address(issuer), abi.encodeCall(issuer.open, (address(btc), uint128(w.amount), uint128(0), lock))
        );
    }

    function _foreign(address sender) private {
        (address target, bytes memory data) = foreignCall(draw(0, 18));
        mustFail(sender, target, data);
    }
}
