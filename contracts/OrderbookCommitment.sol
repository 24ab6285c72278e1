// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {IOrderbookCommitment} from "./interfaces/IOrderbookCommitment.sol";
import {Header} from "./interfaces/Types.sol";
import {IndexedTree} from "./libraries/IndexedTree.sol";
import {TwoStepAdmin} from "./TwoStepAdmin.sol";

/// @title One word per epoch of the order book; see IOrderbookCommitment
contract OrderbookCommitment is IOrderbookCommitment, TwoStepAdmin, EIP712 {
    bytes32 public constant COMMITTER_ROLE = keccak256("COMMITTER_ROLE");

    /// @dev Of a header.
    uint256 private constant WORDS = 10;

    /// @dev One word: what the next epoch follows, and who committed the last one. Whoever that was has COMMITTER_ROLE
    /// still, so that its role is not looked up again: a cold read less per epoch.
    struct Head {
        uint48 epoch;
        uint48 sequence;
        address committer;
    }

    /* STORAGE */

    /// @inheritdoc IOrderbookCommitment
    mapping(uint64 epoch => bytes32) public override headerHash;
    Head private _head;

    constructor(address admin_) TwoStepAdmin(admin_) EIP712("HOOATS", "1") {}

    /* COMMITMENT */

    /// @inheritdoc IOrderbookCommitment
    function commit(Header calldata header) external {
        Head memory head = _head;
        // Zero stands for nobody there, not for a sender.
        if (msg.sender != head.committer || msg.sender == address(0)) _checkRole(COMMITTER_ROLE);
        uint256[WORDS] memory words = _words(header, header.volume, header.count);
        (uint256 epoch, uint256 first, uint256 last) = (words[0], words[2], words[3]);
        unchecked {
            uint256 next = uint256(head.epoch) + 1;
            if (epoch != next) revert NotConsecutive(uint64(epoch), uint64(next));
            if (first != uint256(head.sequence) + 1 || last < first || last > type(uint48).max) {
                revert WrongRange(uint64(first), uint64(last));
            }
        }
        bytes32 parent = headerHash[head.epoch];
        if (words[1] != uint256(parent)) revert WrongParent(header.parent, parent);
        if (words[4] == 0 || words[5] == 0 || words[6] == 0) revert ZeroRoot();

        // Safe casts: the sequence fits, and an epoch has one command at least.
        _head = Head(uint48(epoch), uint48(last), msg.sender);
        headerHash[uint64(epoch)] = _log(words, epoch);
    }

    /// @dev The header as `abi.encode` has it, which is as it lies in calldata. `volume` and `count` are passed, so
    /// that the compiler has checked their bits; those of the other numbers are compared whole.
    function _words(Header calldata header, uint128, uint32) private pure returns (uint256[WORDS] memory words) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            calldatacopy(words, header, 320)
        }
    }

    /// @dev Emits `EpochCommitted` without another copy.
    function _log(uint256[WORDS] memory words, uint256 epoch) private returns (bytes32 hash) {
        bytes32 topic = EpochCommitted.selector;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            hash := keccak256(words, 320)
            log3(words, 320, topic, epoch, hash)
        }
    }

    /// @dev Who loses the role is asked for it again.
    function _revokeRole(bytes32 role, address account) internal override returns (bool) {
        if (role == COMMITTER_ROLE && account == _head.committer) delete _head.committer;
        return super._revokeRole(role, account);
    }

    /* VERIFICATION */

    /// @inheritdoc IOrderbookCommitment
    function verifyOrder(Header calldata header, uint64 sequence, bytes32 orderHash, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        if (!_contains(header, sequence)) return false;

        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(sequence, orderHash))));
        return MerkleProof.verifyCalldata(proof, header.ordersRoot, leaf);
    }

    /// @inheritdoc IOrderbookCommitment
    function verifyCommand(Header calldata header, uint64 sequence, bytes32 leaf, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        if (!_contains(header, sequence)) return false;

        uint256 count = uint256(header.last) - header.first + 1;
        return IndexedTree.verify(header.commandsRoot, leaf, sequence - header.first, count, proof);
    }

    /// @dev True if this very header is committed and its range holds `sequence`.
    function _contains(Header calldata header, uint64 sequence) private view returns (bool) {
        return header.epoch != 0 && headerHash[header.epoch] == hashHeader(header) && sequence >= header.first
            && sequence <= header.last;
    }

    /* VIEWS */

    /// @inheritdoc IOrderbookCommitment
    function lastEpoch() external view returns (uint64) {
        return _head.epoch;
    }

    /// @inheritdoc IOrderbookCommitment
    function lastSequence() external view returns (uint64) {
        return _head.sequence;
    }

    /// @inheritdoc IOrderbookCommitment
    function hashHeader(Header calldata header) public pure returns (bytes32) {
        return keccak256(abi.encode(header));
    }

    /// @inheritdoc IOrderbookCommitment
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }
}
