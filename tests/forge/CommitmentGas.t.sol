// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Header} from "../../contracts/interfaces/Types.sol";
import {OrderbookCommitment} from "../../contracts/OrderbookCommitment.sol";
import {Test} from "./Test.sol";

/// @title What an epoch costs, a whole transaction
/// @dev Every call is a transaction of its own, as on chain. forge-config: default.isolate = true
contract CommitmentGasTest is Test {
    uint256 internal constant COMMIT_MOST = 60_000;

    /// @dev forge prints it with -vv.
    event log_named_uint(string name, uint256 value); // solhint-disable-line event-name-capwords

    OrderbookCommitment internal commitment;

    function setUp() public {
        commitment = new OrderbookCommitment(address(this));
        commitment.grantRole(commitment.COMMITTER_ROLE(), address(this));
        commit(1, 1, 1);
    }

    /// @dev With every byte of every number that may have one.
    function commit(uint64 epoch, uint64 first, uint64 last) internal {
        bytes32 parent = commitment.headerHash(epoch - 1);
        bytes32 root = keccak256("root");
        commitment.commit(
            Header(epoch, parent, first, last, root, root, root, type(uint128).max, type(uint32).max, root)
        );
    }

    function test_gas_commit() public {
        commit(2, 2, type(uint48).max / 3);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        emit log_named_uint("commit", used);
        vm.assertLe(used, COMMIT_MOST);
        commit(3, type(uint48).max / 3 + 1, type(uint48).max);
        vm.assertLe(vm.lastCallGas().gasTotalUsed, COMMIT_MOST);
    }
}
