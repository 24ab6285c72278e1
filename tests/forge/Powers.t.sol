// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";
import {IPriceSource} from "../../contracts/interfaces/IPriceSource.sol";
import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {Header, MIN_UPGRADE_DELAY} from "../../contracts/interfaces/Types.sol";
import {OrderbookCommitment} from "../../contracts/OrderbookCommitment.sol";
import {PriceOracle} from "../../contracts/PriceOracle.sol";
import {SynthIssuer} from "../../contracts/SynthIssuer.sol";
import {Timelock} from "../../contracts/Timelock.sol";
import {TwoStepAdmin} from "../../contracts/TwoStepAdmin.sol";
import {Fixture} from "./Fixture.sol";

/// @title Every function that somebody special must call, by everybody who is not that somebody
/// @dev After a handover to the timelock, with every role held by a key of its own. That no function is missing here is
/// checked against the ABIs by tests/offchain/chain/test_powers.py.
contract PowersTest is Fixture {
    struct Power {
        address target;
        bytes call;
        bytes32 role;
    }

    bytes32 internal constant ADMIN = 0;
    bytes32 internal constant LISTER = keccak256("LISTER_ROLE");
    bytes32 internal constant POSTER = keccak256("POSTER_ROLE");
    bytes32 internal constant GUARDIAN = keccak256("GUARDIAN_ROLE");
    bytes32 internal constant CREATOR = keccak256("CREATOR_ROLE");
    bytes32 internal constant COMMITTER = keccak256("COMMITTER_ROLE");
    address internal constant LISTED = address(0x115ED);

    Timelock internal timelock;
    PriceOracle internal prices;
    OrderbookCommitment internal commitment;
    bytes32[5] internal roles = [LISTER, POSTER, GUARDIAN, CREATOR, COMMITTER];
    Power[] internal powers;

    function setUp() public override {
        super.setUp();
        address[] memory self = new address[](1);
        self[0] = address(this);
        timelock = new Timelock(MIN_UPGRADE_DELAY, self, self, address(0));
        prices = new PriceOracle(address(this));
        issuer = new SynthIssuer(address(this), address(vault), address(prices));
        commitment = new OrderbookCommitment(address(this));
        synthFactory.revokeRole(CREATOR, address(this));

        for (uint256 i; i < 4; ++i) {
            TwoStepAdmin target = governed()[i];
            for (uint256 j; j < roles.length; ++j) {
                target.grantRole(roles[j], holderOf(roles[j]));
            }
            target.offerAdmin(address(timelock));
            timelock.acceptAdminOf(target);
        }
        vm.startPrank(holderOf(LISTER));
        prices.configure(LISTED, feed());
        issuer.configure(LISTED, ISynthIssuer.Terms(1, 150, 120, 10));
        vm.stopPrank();
        listPowers();
    }

    function governed() internal view returns (TwoStepAdmin[4] memory) {
        return [TwoStepAdmin(prices), TwoStepAdmin(issuer), TwoStepAdmin(synthFactory), TwoStepAdmin(commitment)];
    }

    function holderOf(bytes32 role) internal view returns (address) {
        return role == ADMIN ? address(timelock) : address(uint160(uint256(role)));
    }

    function feed() internal pure returns (IPriceOracle.Feed memory) {
        return IPriceOracle.Feed(1, 600, 10_000, new IPriceSource[](0));
    }

    function add(address target, bytes memory call, bytes32 role) internal {
        powers.push(Power(target, call, role));
    }

    function listPowers() internal {
        address fresh = address(0xF4E54);
        for (uint256 i; i < 4; ++i) {
            TwoStepAdmin target = governed()[i];
            add(address(target), abi.encodeCall(target.offerAdmin, (bob)), ADMIN);
            for (uint256 j; j < roles.length; ++j) {
                add(address(target), abi.encodeCall(target.grantRole, (roles[j], bob)), ADMIN);
                add(address(target), abi.encodeCall(target.revokeRole, (roles[j], bob)), ADMIN);
            }
        }
        // What is set once by a lister is changed by the timelock only.
        add(address(prices), abi.encodeCall(prices.configure, (LISTED, feed())), ADMIN);
        add(address(prices), abi.encodeCall(prices.configure, (fresh, feed())), LISTER);
        add(address(prices), abi.encodeCall(prices.post, (new address[](0), new uint256[](0))), POSTER);
        add(
            address(prices),
            abi.encodeCall(prices.postUntil, (type(uint40).max, new address[](0), new uint256[](0))),
            POSTER
        );
        ISynthIssuer.Terms memory terms = ISynthIssuer.Terms(1, 150, 120, 10);
        add(address(issuer), abi.encodeCall(issuer.configure, (LISTED, terms)), ADMIN);
        add(address(issuer), abi.encodeCall(issuer.configure, (fresh, terms)), LISTER);
        add(address(issuer), abi.encodeCall(issuer.unpause, ()), GUARDIAN);
        add(address(issuer), abi.encodeCall(issuer.pause, ()), GUARDIAN);
        add(address(synthFactory), abi.encodeCall(synthFactory.createSynth, ("X", "X")), CREATOR);
        add(address(synthFactory), abi.encodeCall(synthFactory.registerSynth, (address(btc))), CREATOR);
        bytes32 root = keccak256("root");
        Header memory header = Header(1, 0, 1, 1, root, root, root, 0, 0, 0);
        add(address(commitment), abi.encodeCall(commitment.commit, (header)), COMMITTER);
    }

    function tries(address sender, Power memory power) internal returns (bool success, bytes memory reason) {
        vm.prank(sender);
        // solhint-disable-next-line avoid-low-level-calls
        return power.target.call(power.call);
    }

    /// @dev Every key but the right one, a stranger, the deployer, and the contracts themselves.
    function test_every_power_is_one_roles() public {
        for (uint256 i; i < powers.length; ++i) {
            Power memory power = powers[i];
            address[10] memory others = [
                holderOf(ADMIN),
                holderOf(LISTER),
                holderOf(POSTER),
                holderOf(GUARDIAN),
                holderOf(CREATOR),
                holderOf(COMMITTER),
                address(this),
                carol,
                address(vault),
                power.target
            ];
            for (uint256 j; j < others.length; ++j) {
                if (others[j] == holderOf(power.role)) continue;
                (bool done, bytes memory reason) = tries(others[j], power);
                vm.assertFalse(done);
                vm.assertEq(
                    reason,
                    abi.encodeWithSelector(
                        IAccessControl.AccessControlUnauthorizedAccount.selector, others[j], power.role
                    )
                );
            }
        }
    }

    /// @dev And the right one may: otherwise the test above says nothing.
    function test_every_power_is_its_roles() public {
        vault.grantRole(vault.REGISTRAR_ROLE(), address(synthFactory));
        for (uint256 i; i < powers.length; ++i) {
            Power memory power = powers[i];
            uint256 state = vm.snapshotState();
            (bool success, bytes memory reason) = tries(holderOf(power.role), power);
            // tBTC is registered by the fixture already: that is the Vault's answer, and comes after the role's.
            bool isRegistered =
                power.target == address(synthFactory) && bytes4(reason) == bytes4(keccak256("NotRegistrable(address)"));
            vm.assertTrue(success || isRegistered);
            vm.revertToState(state);
        }
    }

    /// @dev The timelock itself can do none of it at once.
    function test_the_timelock_acts_a_day_later_at_the_soonest() public {
        for (uint256 i; i < powers.length; ++i) {
            if (powers[i].role != ADMIN) continue;
            vm.expectRevert();
            timelock.schedule(powers[i].target, 0, powers[i].call, 0, bytes32(i), MIN_UPGRADE_DELAY - 1);
            timelock.schedule(powers[i].target, 0, powers[i].call, 0, bytes32(i), MIN_UPGRADE_DELAY);
            vm.expectRevert();
            timelock.execute(powers[i].target, 0, powers[i].call, 0, bytes32(i));
        }
        vm.warp(START + MIN_UPGRADE_DELAY);
        timelock.execute(powers[0].target, 0, powers[0].call, 0, 0);
        vm.assertEq(prices.offeredTo(), bob);
    }
}
