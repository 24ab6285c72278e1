// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPausable} from "../../contracts/interfaces/IPausable.sol";
import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Authorization, EXIT_DELAY, Header, Order, SIDE_BUY, SIDE_SELL} from "../../contracts/interfaces/Types.sol";
import {Change} from "../../contracts/libraries/Changes.sol";
import {OrderbookCommitment} from "../../contracts/OrderbookCommitment.sol";
import {PAUSE_MAX, PAUSE_REST} from "../../contracts/libraries/PauseRules.sol";
import {Vault} from "../../contracts/Vault.sol";
import {Residents} from "./Residents.sol";

/// @title A venue in use, keys of the operator in hostile hands, and what must hold whatever these do
/// @dev `standingNow` is everything that belongs to the honest; it changes by what they signed or called themselves.
abstract contract HostileVenue is Residents {
    uint256 internal constant HONEST = 9;
    uint256 internal constant MALLORY_KEY = 0xBAD;
    address internal constant GUARDIAN = address(0x60A2D);
    address internal constant COMMITTER = address(0xC033);

    address internal mallory = vm.addr(MALLORY_KEY);
    OrderbookCommitment internal commitment;
    bytes32 internal standingBefore;
    uint256 internal attempts;
    uint256 internal exits;
    uint256 internal ownerNonce = 1_000;

    /// @dev Ends and beginnings of pauses as the rules count them, by contract.
    mapping(address target => uint256) internal pauseEnd;
    uint256 internal pauses;

    function setUp() public virtual override {
        super.setUp();
        moveIn(HONEST, uint256(keccak256("hostile")));
        giveUnits(mallory, 1_000e6);
        commitment = new OrderbookCommitment(address(this));
        commitment.grantRole(commitment.COMMITTER_ROLE(), COMMITTER);
        vault.grantRole(vault.GUARDIAN_ROLE(), GUARDIAN);
        settlement.grantRole(settlement.GUARDIAN_ROLE(), GUARDIAN);
        issuer.grantRole(issuer.GUARDIAN_ROLE(), GUARDIAN);
        standingBefore = standingNow();
    }

    /* WHAT BELONGS TO THE HONEST */

    /// @dev Balances in the Vault and in wallets, positions, shares, requests: of the users and of the venue's accounts.
    function standingNow() internal view returns (bytes32 hash) {
        for (uint256 i; i < HONEST; ++i) {
            address user = users[i];
            ISynthIssuer.Position memory position = issuer.positionOf(user, address(btc));
            hash = keccak256(
                abi.encode(
                    hash,
                    units(user),
                    vault.balanceOf(user, address(btc)),
                    usdc.balanceOf(user),
                    btc.balanceOf(user),
                    cxpt.balanceOf(user),
                    position,
                    pair.balanceOf(user),
                    vault.requestOf(user, address(usdc)),
                    vault.accountOf(user)
                )
            );
        }
        hash = keccak256(abi.encode(hash, units(fees), units(TREASURY), units(INSURANCE)));
        hash = keccak256(abi.encode(hash, usdc.balanceOf(address(pair)), btc.balanceOf(address(pair))));
        return keccak256(abi.encode(hash, btc.totalSupply(), vault.index(), vault.cosigner()));
    }

    function assertUntouched() internal view {
        vm.assertEq(standingNow(), standingBefore, "nobody honest gained or lost anything");
    }

    /// @dev An attempt that must fail and, whatever it did, must have moved nothing.
    function mustFail(address sender, address target, bytes memory data) internal {
        vm.prank(sender);
        (bool isDone,) = target.call(data);
        vm.assertFalse(isDone);
        ++attempts;
        assertUntouched();
    }

    /* WHAT IS NOT THEIRS */

    /// @dev Functions that need a role which neither cosigner, committer nor guardian has.
    function foreignCall(uint256 choice) internal returns (address target, bytes memory data) {
        address user = users[draw(0, HONEST - 1)];
        uint256 amount = draw(1, 1_000e6);
        bytes32 role = [bytes32(0), vault.SETTLEMENT_ROLE(), vault.CORE_ROLE(), vault.UPGRADER_ROLE()][draw(0, 3)];
        choice %= 19;
        if (choice < 11) return (address(vault), _foreignVaultCall(choice, user, amount, role));
        if (choice == 11) {
            return
                (address(settlement), abi.encodeCall(settlement.listMarket, (uint32(amount), address(btc), 1, 1, "X")));
        }
        if (choice == 12) {
            return (address(issuer), abi.encodeCall(issuer.configure, (address(btc), issuer.termsOf(address(btc)))));
        }
        if (choice == 18) return (address(settlement), abi.encodeCall(settlement.settle, (aGoodBatch())));
        if (choice == 13) return (address(btc), abi.encodeCall(btc.mint, (mallory, amount)));
        if (choice == 14) return (address(cxpt), abi.encodeCall(cxpt.mint, (mallory, amount)));
        if (choice == 15) return (address(synthFactory), abi.encodeCall(synthFactory.createSynth, ("X", "X")));
        if (choice == 16) {
            (address[] memory synths, uint256[] memory posted) = (new address[](1), new uint256[](1));
            (synths[0], posted[0]) = (address(btc), amount);
            return (address(prices), abi.encodeCall(prices.post, (synths, posted)));
        }
        address[4] memory governed = [address(settlement), address(issuer), address(prices), address(commitment)];
        return (governed[draw(0, 3)], abi.encodeCall(vault.grantRole, (role, mallory)));
    }

    function _foreignVaultCall(uint256 choice, address user, uint256 amount, bytes32 role)
        private
        returns (bytes memory)
    {
        Authorization memory lock = approve(user, address(usdc), amount, keccak256("HOOATS.lock"));
        if (choice == 0) return abi.encodeCall(vault.mintSynth, (address(btc), mallory, amount));
        if (choice == 1) {
            Authorization memory burn = approve(user, address(btc), amount, keccak256("HOOATS.burn"));
            return abi.encodeCall(vault.burnSynth, (address(btc), user, amount, burn));
        }
        if (choice == 2) return abi.encodeCall(vault.lockCollateral, (user, amount, lock));
        if (choice == 3) return abi.encodeCall(vault.unlockCollateral, (mallory, amount));
        if (choice == 4) return abi.encodeCall(vault.takeSequence, ());
        if (choice == 5) return abi.encodeCall(vault.raiseCancelFloor, (user, uint48(amount), uint40(amount)));
        if (choice == 6) {
            (address[] memory accounts, Change[] memory changes) = movement(user, mallory, amount);
            return abi.encodeCall(vault.applySettlement, (address(usdc), accounts, changes));
        }
        if (choice == 7) return abi.encodeCall(vault.exchange, (user, address(usdc), address(btc), amount));
        if (choice == 8) return abi.encodeCall(vault.upgradeToAndCall, (address(new Vault()), ""));
        if (choice == 9) return abi.encodeCall(vault.grantRole, (role, mallory));
        return abi.encodeCall(vault.registerSynth, (address(cxpt)));
    }

    /// @dev Two users' orders, good for the settler and for nobody else.
    function aGoodBatch() internal returns (bytes memory) {
        uint48 number = uint48(1_000_000 + draw(1, 1e9));
        Order memory bid = resting(users[0], SIDE_BUY, PRICE_TICKS, 1, nonceOf(9, number));
        Order memory ask = immediate(users[1], SIDE_SELL, PRICE_TICKS, 1, number);
        match_(add(bid, userKey(0)), add(ask, userKey(1)), 1);
        return pack(take());
    }

    /* WHAT THE HONEST DO MEANWHILE */

    /// @dev A random user asks for money, or gets what was asked for once it has matured: never later, never less.
    function exitStep() internal {
        address user = users[draw(0, HONEST - 1)];
        IVault.Request memory asked = vault.requestOf(user, address(usdc));
        if (asked.amount == 0) {
            if (units(user) == 0) return;
            uint256 wanted = draw(1, min(units(user), 100e6));
            request(user, address(usdc), uint128(wanted));
        } else if (asked.maturesAt <= block.timestamp) {
            (uint256 before, uint256 paid) = (usdc.balanceOf(user), min(asked.amount, units(user)));
            uint256 left = units(user) - paid;
            vm.prank(draw(0, 1) == 0 ? user : mallory);
            vault.completeWithdrawal(user, address(usdc));
            vm.assertEq(usdc.balanceOf(user) - before, paid);
            vm.assertEq(units(user), left);
            ++exits;
        }
        standingBefore = standingNow();
    }

    function timePasses() internal {
        // Mostly minutes, sometimes days: requests mature, and pauses come again.
        vm.warp(block.timestamp + draw(1, draw(0, 9) == 0 ? 2 days : EXIT_DELAY));
    }

    /* THE GUARDIAN */

    /// @dev Its own power, used as often as it lets: the rules of the pause are counted beside the contracts.
    function abusePause() internal {
        IPausable target =
            [IPausable(address(vault)), IPausable(address(settlement)), IPausable(address(issuer))][draw(0, 2)];
        uint256 end = pauseEnd[address(target)];
        bool isPause = draw(0, 2) != 0;
        vm.prank(GUARDIAN);
        (bool isDone,) =
            address(target).call(isPause ? abi.encodeCall(IPausable.pause, ()) : abi.encodeCall(IPausable.unpause, ()));
        ++attempts;
        if (isPause) {
            vm.assertTrue(isDone == (end == 0 || block.timestamp >= end + PAUSE_REST), "a week between pauses");
            if (isDone) {
                pauseEnd[address(target)] = block.timestamp + PAUSE_MAX;
                ++pauses;
            }
        } else {
            vm.assertTrue(isDone);
            pauseEnd[address(target)] = min(end, block.timestamp);
        }
        vm.assertEq(target.pausedUntil(), pauseEnd[address(target)]);
        assertUntouched();
    }

    /// @dev No pause outlasts a day whatever the guardian does.
    function assertRunsAgain() internal {
        vm.warp(block.timestamp + PAUSE_MAX);
        giveUnits(mallory, 1e6);
        usdc.mint(users[0], 1e6);
        vm.startPrank(users[0]);
        usdc.approve(address(vault), 1e6);
        vault.deposit(1e6);
        vm.stopPrank();
        standingBefore = standingNow();
    }

    /* THE COMMITTER */

    Header[] internal headers;

    function nextHeader() internal returns (Header memory) {
        uint64 first = commitment.lastSequence() + 1;
        return Header(
            commitment.lastEpoch() + 1,
            commitment.headerHash(commitment.lastEpoch()),
            first,
            first + uint64(draw(0, 1_000)),
            leafOf(first),
            bytes32(draw(1, type(uint128).max)),
            bytes32(draw(1, type(uint128).max)),
            uint128(draw(0, type(uint64).max)),
            uint32(draw(0, type(uint32).max)),
            bytes32(draw(0, type(uint128).max))
        );
    }

    /// @dev Each epoch's tree of orders is one leaf: its first order.
    function leafOf(uint64 sequence) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(sequence, keccak256(abi.encode(sequence))))));
    }

    function commitNext() internal {
        Header memory header = nextHeader();
        vm.prank(COMMITTER);
        commitment.commit(header);
        headers.push(header);
    }

    /// @dev What was committed is what it was, and proves what it proved.
    function assertHistory() internal view {
        vm.assertEq(commitment.lastEpoch(), headers.length);
        if (headers.length == 0) return;
        Header memory header = headers[bound(uint256(keccak256(abi.encode(attempts))), 0, headers.length - 1)];
        vm.assertEq(commitment.headerHash(header.epoch), keccak256(abi.encode(header)));
        vm.assertEq(commitment.lastSequence(), headers[headers.length - 1].last);
        bytes32 order = keccak256(abi.encode(header.first));
        vm.assertTrue(commitment.verifyOrder(header, header.first, order, new bytes32[](0)));
        vm.assertFalse(commitment.verifyOrder(header, header.first + 1, order, new bytes32[](0)));
    }

    /// @dev One thing about the next header is wrong.
    function abuseCommitment() internal {
        Header memory header = nextHeader();
        uint256 choice = draw(0, 11);
        address sender = COMMITTER;
        if (choice == 0) header.epoch = uint64(draw(0, commitment.lastEpoch())); // rewritten
        else if (choice == 1) header.epoch += uint64(draw(1, 1_000)); // skipped
        else if (choice == 2) header.parent = bytes32(draw(1, type(uint256).max));
        else if (choice == 3) header.parent = headers.length == 0 ? bytes32(uint256(1)) : bytes32(0);
        else if (choice == 4) header.ordersRoot = 0;
        else if (choice == 5) header.commandsRoot = 0;
        else if (choice == 6) header.stateRoot = 0;
        else if (choice == 7) header.first = uint64(draw(0, header.first - 1)); // over what was committed
        else if (choice == 8) header.first += uint64(draw(1, 1_000)); // a gap
        else if (choice == 9) header.last = header.first - 1;
        else if (choice == 10) header = headers.length == 0 ? withoutRoots() : headers[draw(0, headers.length - 1)];
        else sender = [GUARDIAN, mallory, vm.addr(COSIGNER_KEY)][draw(0, 2)];
        mustFail(sender, address(commitment), abi.encodeCall(commitment.commit, (header)));
        assertHistory();
    }

    function withoutRoots() internal returns (Header memory header) {
        header = nextHeader();
        (header.ordersRoot, header.commandsRoot, header.stateRoot) = (0, 0, 0);
    }
}
