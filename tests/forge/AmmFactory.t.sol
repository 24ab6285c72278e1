// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Initializable} from "@openzeppelin/contracts-upgradeable/proxy/utils/Initializable.sol";
import {IAmmFactory} from "../../contracts/interfaces/IAmmFactory.sol";
import {AmmPair} from "../../contracts/AmmPair.sol";
import {AmmFixture} from "./AmmFixture.sol";

/// @title Pools are opened once, for synths only, where they were foretold
contract AmmFactoryTest is AmmFixture {
    function test_pool_is_where_it_was_predicted() public view {
        vm.assertEq(factory.predictPair(address(btc)), address(pair));
        vm.assertEq(factory.pairOf(address(btc)), address(pair));
        vm.assertEq(factory.pairAt(0), address(pair));
        vm.assertEq(factory.pairCount(), 1);
        vm.assertEq(pair.base(), address(btc));
        vm.assertEq(pair.quote(), address(usdc));
    }

    function test_factory_knows_its_venue() public view {
        vm.assertEq(factory.VAULT(), address(vault));
        vm.assertEq(factory.QUOTE_TOKEN(), address(usdc));
    }

    /// @dev EIP-1167: 45 bytes that name the implementation.
    function test_pool_is_a_minimal_clone() public view {
        vm.assertEq(
            address(pair).code,
            abi.encodePacked(hex"363d3d373d3d3d363d73", factory.IMPLEMENTATION(), hex"5af43d82803e903d91602b57fd5bf3")
        );
    }

    function test_second_pool_of_a_synth_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IAmmFactory.PairExists.selector, address(pair)));
        factory.createPair(address(btc));
    }

    function test_pool_of_what_is_no_synth_is_refused() public {
        address[3] memory tokens = [address(0), address(usdc), address(cxpt)];
        for (uint256 i; i < tokens.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IAmmFactory.NotPoolable.selector, tokens[i]));
            factory.createPair(tokens[i]);
        }
    }

    function test_neither_pool_nor_implementation_is_initialised_again() public {
        AmmPair implementation = AmmPair(factory.IMPLEMENTATION());
        vm.expectRevert(Initializable.InvalidInitialization.selector);
        pair.initialize(address(usdc), address(btc));
        vm.expectRevert(Initializable.InvalidInitialization.selector);
        implementation.initialize(address(btc), address(usdc));
    }
}
