// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title A factory that knows the pairs it is told
contract PlainFactory {
    address public immutable VAULT;
    mapping(address base => address) public pairOf;

    constructor(address vault) {
        VAULT = vault;
    }

    function put(address base, address pair) external {
        pairOf[base] = pair;
    }
}
