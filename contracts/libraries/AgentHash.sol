// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AgentTerms} from "../interfaces/Types.sol";

/// @title What an account signs to register an agent, hashed. Python twin: `offchain.domain.eip712`
library AgentHash {
    bytes32 internal constant TYPE_HASH = keccak256(
        "Agent(address account,address agent,uint40 expiry,uint128 notional,uint32[] markets,uint256 nonce,uint256 deadline)" // solhint-disable-line max-line-length
    );

    function structHash(address account, AgentTerms calldata terms, uint256 nonce, uint256 deadline)
        internal
        pure
        returns (bytes32)
    {
        // Elements of a packed array are padded to words, as EIP-712 wants them.
        bytes32 markets = keccak256(abi.encodePacked(terms.markets));
        return
            keccak256(
                abi.encode(TYPE_HASH, account, terms.agent, terms.expiry, terms.notional, markets, nonce, deadline)
            );
    }
}
