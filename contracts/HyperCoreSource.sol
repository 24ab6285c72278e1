// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IPriceSource} from "./interfaces/IPriceSource.sol";

/// @title The oracle price of one perpetual on HyperCore, for one synth; see IPriceSource
/// @dev Read from the precompile that HyperEVM has at 0x…0807: `abi.encode(uint32 index)` without a selector, answered
/// with a uint64 in 10^(szDecimals - 6) USD. A precompile that refuses eats all gas it is given. Elsewhere there is no
/// code at the address, and the answer is empty: no price.
contract HyperCoreSource is IPriceSource {
    /// @dev Costs 2,000 and 65 per byte of question and answer.
    uint256 public constant PRECOMPILE_GAS = 20_000;
    address public constant ORACLE_PRICE = 0x0000000000000000000000000000000000000807;
    /// @dev A perpetual's price has six decimals less its size's.
    uint8 private constant DECIMALS = 6;

    uint32 public immutable PERP_INDEX;
    /// @dev The price that HyperCore gives, times this, is quote units (6 decimals) per 10^18 atoms.
    uint256 public immutable UNITS_PER_PRICE;
    address public immutable SYNTH;

    constructor(uint32 perpIndex, uint8 szDecimals, address synth) {
        if (szDecimals > DECIMALS || synth == address(0)) revert MalformedSource();
        PERP_INDEX = perpIndex;
        UNITS_PER_PRICE = 10 ** szDecimals;
        SYNTH = synth;
    }

    /// @inheritdoc IPriceSource
    function read(address synth) external view returns (uint256 price, uint40 at) {
        if (synth != SYNTH) return (0, 0);

        uint256 answer = _ask(PERP_INDEX);
        if (answer == 0 || answer > type(uint64).max) return (0, 0);
        return (answer * UNITS_PER_PRICE, uint40(block.timestamp));
    }

    /// @dev Zero unless the answer is exactly one word.
    function _ask(uint256 index) private view returns (uint256 answer) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            mstore(0, index)
            let isAnswered := staticcall(PRECOMPILE_GAS, ORACLE_PRICE, 0, 32, 0, 32)
            if and(isAnswered, eq(returndatasize(), 32)) { answer := mload(0) }
        }
    }
}
