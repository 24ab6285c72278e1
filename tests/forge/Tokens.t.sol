// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {
    ERC20PermitUpgradeable
} from "@openzeppelin/contracts-upgradeable/token/ERC20/extensions/ERC20PermitUpgradeable.sol";
import {
    ReentrancyGuardTransientUpgradeable
} from "@openzeppelin/contracts-upgradeable/utils/ReentrancyGuardTransientUpgradeable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ISynthERC20} from "../../contracts/interfaces/ISynthERC20.sol";
import {Withdrawal} from "../../contracts/interfaces/Types.sol";
import {Change} from "../../contracts/libraries/Changes.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {TestUSDC} from "../../contracts/mocks/TestUSDC.sol";
import {Fixture} from "./Fixture.sol";

/// @dev A "synth" whose transfer calls the Vault back.
contract CallingToken is ERC20 {
    address public minter;
    address internal target;
    bytes internal payload;
    bytes4 public lastError;

    constructor(address minter_) ERC20("Calling", "CALL") {
        minter = minter_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function callBack(address target_, bytes calldata payload_) external {
        (target, payload) = (target_, payload_);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (target == address(0)) return;
        (bool success, bytes memory returned) = target.call(payload); // solhint-disable-line avoid-low-level-calls
        require(!success, "the guard is open");
        lastError = bytes4(returned);
    }
}

/// @title The tokens, and the Vault's guard against one that calls back
contract TokensTest is Fixture {
    function test_synth_is_minted_and_burned_by_its_minter_only() public {
        vm.assertEq(btc.minter(), address(vault));
        vm.assertEq(btc.decimals(), 18);
        vm.expectRevert(abi.encodeWithSelector(ISynthERC20.NotMinter.selector, address(this)));
        btc.mint(alice, 1);
        vm.expectRevert(abi.encodeWithSelector(ISynthERC20.NotMinter.selector, address(this)));
        btc.burn(1);
        vm.startPrank(address(vault));
        btc.mint(address(vault), 5);
        btc.burn(3);
        vm.stopPrank();
        vm.assertEq(btc.totalSupply(), 2);
    }

    function test_clones_share_the_minter_and_nothing_else() public {
        SynthERC20 eth = newSynth("Test Ether", "tETH");
        vm.prank(address(vault));
        eth.mint(alice, 7);
        vm.assertEq(eth.totalSupply(), 7);
        vm.assertEq(btc.totalSupply(), 0);
        vm.assertEq(btc.minter(), eth.minter());
        vm.assertTrue(eth.DOMAIN_SEPARATOR() != btc.DOMAIN_SEPARATOR());
    }

    function test_synth_permit() public {
        vm.prank(address(vault));
        btc.mint(alice, 7);
        bytes32 permit = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 hash = keccak256(abi.encode(permit, alice, bob, 7, 0, START));
        bytes memory signature = sign(aliceKey, digestOf(btc.DOMAIN_SEPARATOR(), hash));
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        btc.permit(alice, bob, 7, START, uint8(signature[64]), r, s);
        vm.prank(bob);
        btc.transferFrom(alice, bob, 7);
        vm.assertEq(btc.balanceOf(bob), 7);
        // Not twice, and not on another clone.
        vm.expectPartialRevert(ERC20PermitUpgradeable.ERC2612InvalidSigner.selector);
        btc.permit(alice, bob, 7, START, uint8(signature[64]), r, s);
        SynthERC20 eth = newSynth("Test Bitcoin", "tETH");
        vm.expectPartialRevert(ERC20PermitUpgradeable.ERC2612InvalidSigner.selector);
        eth.permit(alice, bob, 7, START, uint8(signature[64]), r, s);
        vm.warp(START + 1);
        vm.expectRevert(abi.encodeWithSelector(ERC20PermitUpgradeable.ERC2612ExpiredSignature.selector, START));
        btc.permit(alice, bob, 7, START, uint8(signature[64]), r, s);
    }

    function test_cxpt_is_minted_by_the_vault_only() public {
        vm.assertEq(cxpt.decimals(), 18);
        vm.expectRevert();
        cxpt.mint(alice, 1);
        vm.prank(address(vault));
        cxpt.mint(alice, 1);
        vm.assertEq(cxpt.balanceOf(alice), 1);
    }

    function test_usdc_for_tests() public {
        vm.assertEq(usdc.decimals(), 6);
        usdc.mint(alice, 7);
        vm.assertEq(usdc.balanceOf(alice), 7);
        TestUSDC real = new TestUSDC();
        uint256 most = real.MINT_MAX();
        real.mint(bob, most);
        vm.expectRevert(abi.encodeWithSelector(TestUSDC.MintTooBig.selector, most + 1));
        real.mint(bob, most + 1);
    }

    /// @dev A call of every function that moves money or requests.
    function guarded(address token) internal view returns (bytes[16] memory payloads) {
        Withdrawal memory withdrawal;
        payloads = [
            abi.encodeCall(vault.deposit, (1)),
            abi.encodeCall(vault.depositFor, (alice, 1)),
            abi.encodeCall(vault.depositWithPermit, (alice, 1, 0, 0, 0, 0)),
            abi.encodeCall(vault.depositSynth, (token, 1)),
            abi.encodeCall(vault.withdraw, (1, false)),
            abi.encodeCall(vault.withdrawApproved, (withdrawal, "", drawOnRequest())),
            abi.encodeCall(vault.completeWithdrawal, (alice, token)),
            abi.encodeCall(vault.requestWithdrawal, (token, 1, alice)),
            abi.encodeCall(vault.cancelWithdrawalRequest, (token)),
            abi.encodeCall(vault.declareLoss, ()),
            abi.encodeCall(vault.mintSynth, (token, alice, 1)),
            abi.encodeCall(vault.burnSynth, (token, alice, 1, drawOnRequest())),
            abi.encodeCall(vault.lockCollateral, (alice, 1, drawOnRequest())),
            abi.encodeCall(vault.unlockCollateral, (alice, 1)),
            abi.encodeCall(vault.applySettlement, (token, new address[](0), new Change[](0))),
            abi.encodeCall(vault.exchange, (address(1), address(usdc), token, 1))
        ];
    }

    function test_guard_refuses_every_way_back_into_the_vault() public {
        CallingToken token = new CallingToken(address(vault));
        vault.registerSynth(address(token));
        token.mint(alice, 100);
        vm.startPrank(alice);
        token.approve(address(vault), 100);
        vault.depositSynth(address(token), 50);
        vault.requestWithdrawal(address(token), 10, alice);
        vm.stopPrank();
        vm.warp(START + 1 days);
        vault.grantRole(vault.SETTLEMENT_ROLE(), address(token));

        bytes[16] memory payloads = guarded(address(token));
        for (uint256 i; i < payloads.length; ++i) {
            token.callBack(address(vault), payloads[i]);
            vm.prank(alice);
            vault.depositSynth(address(token), 1);
            vm.assertTrue(
                token.lastError() == ReentrancyGuardTransientUpgradeable.ReentrancyGuardReentrantCall.selector
            );
        }
        vault.completeWithdrawal(alice, address(token));
        vm.assertEq(vault.balanceOf(alice, address(token)), 50 + 16 - 10);
    }
}
