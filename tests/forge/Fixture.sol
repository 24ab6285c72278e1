// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {AmmFactory} from "../../contracts/AmmFactory.sol";
import {AmmPair} from "../../contracts/AmmPair.sol";
import {CXPT} from "../../contracts/CXPT.sol";
import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {
    Authorization,
    KIND_LIMIT,
    Order,
    SIDE_BUY,
    SIDE_SELL,
    TIF_GTC,
    TIF_IOC,
    Withdrawal
} from "../../contracts/interfaces/Types.sol";
import {Change, Changes} from "../../contracts/libraries/Changes.sol";
import {OrderHash} from "../../contracts/libraries/OrderHash.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {TestUSDC} from "../../contracts/mocks/TestUSDC.sol";
import {Settlement} from "../../contracts/Settlement.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {SynthFactory} from "../../contracts/SynthFactory.sol";
import {SynthIssuer} from "../../contracts/SynthIssuer.sol";
import {Vault} from "../../contracts/Vault.sol";
import {VaultProxy} from "../../contracts/VaultProxy.sol";
import {SettableOracle} from "./SettableOracle.sol";
import {Test, Vm} from "./Test.sol";
import {PackedBatch} from "./PackedBatch.sol";
import {Batch, BulkProof, Fill} from "./ReadableSettlement.sol";

/// @dev Any amount at once: the tests reach for the end of every number.
contract BoundlessUSDC is TestUSDC {
    function mint(address to, uint256 amount) public override {
        _mint(to, amount);
    }
}

/// @title A venue with one market (tBTC against USDC), and the words to trade on it
/// @dev One lot is 10^13 atoms of tBTC (0.00001), one tick x lot is 1 quote unit. The test contract is admin, settler,
/// lister, registrar and core; a call of an account or key is always pranked or signed.
abstract contract Fixture is Test {
    uint32 internal constant BTC_USDC = 1;
    uint128 internal constant BASE_PER_LOT = 1e13;
    uint64 internal constant QUOTE_PER_TICK_LOT = 1;
    uint256 internal constant START = 1_800_000_000;
    int32 internal constant CAP = 10_000;

    bytes32 internal constant BULK_TYPE_HASH = keccak256("BulkOrder(bytes32 root)");

    /// @dev Of secp256k1. The generator's y is even.
    uint256 internal constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 internal constant GENERATOR_X = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798;

    uint256 internal constant COSIGNER_KEY = 0xC051;
    address internal constant TREASURY = address(0x7EA5);
    address internal constant INSURANCE = address(0x1275);
    /// @dev Units; more than a test takes out that is not about it.
    uint128 internal constant OUTFLOW_PER_HOUR = 1e15;

    TestUSDC internal usdc;
    CXPT internal cxpt;
    Vault internal implementation;
    Vault internal vault;
    AmmFactory internal ammFactory;
    Settlement internal settlement;
    SynthFactory internal synthFactory;
    SynthERC20 internal btc;
    /// @dev Only after `createIssuer`.
    SynthIssuer internal issuer;
    SettableOracle internal oracle;

    uint256 internal aliceKey = 0xA11CE;
    uint256 internal bobKey = 0xB0B;
    uint256 internal carolKey = 0xCA201;
    address internal alice = vm.addr(aliceKey);
    address internal bob = vm.addr(bobKey);
    address internal carol = vm.addr(carolKey);
    uint256 internal feesKey = 0xFEE5;
    address internal fees = vm.addr(feesKey);

    uint256 internal approvalNonce;

    Order[] internal orders;
    bytes[] internal signatures;
    BulkProof[] internal proofs;
    Fill[] internal fills;
    uint128[] internal ammQuotes;

    function setUp() public virtual {
        vm.warp(START);
        usdc = newUsdc();
        cxpt = new CXPT(address(this));
        implementation = new Vault();
        vault = Vault(address(new VaultProxy(address(implementation), _initialization())));
        cxpt.grantRole(cxpt.MINTER_ROLE(), address(vault));
        synthFactory = new SynthFactory(address(this), address(new SynthERC20(address(vault))));
        synthFactory.grantRole(synthFactory.CREATOR_ROLE(), address(this));
        btc = newSynth("Test Bitcoin", "tBTC");
        ammFactory = new AmmFactory(address(vault), address(new AmmPair()));
        settlement = new Settlement(address(this), address(vault), address(ammFactory));

        vault.grantRole(vault.SETTLEMENT_ROLE(), address(settlement));
        vault.grantRole(vault.CORE_ROLE(), address(this));
        vault.grantRole(vault.REGISTRAR_ROLE(), address(this));
        settlement.grantRole(settlement.SETTLER_ROLE(), address(this));
        settlement.grantRole(settlement.LISTER_ROLE(), address(this));

        vault.registerSynth(address(btc));
        settlement.listMarket(BTC_USDC, address(btc), BASE_PER_LOT, QUOTE_PER_TICK_LOT, "BTC-USDC");

        vm.label(alice, "alice");
        vm.label(bob, "bob");
        vm.label(carol, "carol");
    }

    function _initialization() internal view returns (bytes memory) {
        return abi.encodeCall(
            Vault.initialize,
            (
                address(this),
                address(usdc),
                address(cxpt),
                vm.addr(COSIGNER_KEY),
                fees,
                TREASURY,
                INSURANCE,
                OUTFLOW_PER_HOUR
            )
        );
    }

    function newUsdc() internal virtual returns (TestUSDC) {
        return new BoundlessUSDC();
    }

    /// @dev Created, not registered with the Vault.
    function newSynth(string memory name, string memory symbol) internal returns (SynthERC20) {
        return SynthERC20(synthFactory.createSynth(name, symbol));
    }

    /// @dev Debt positions in tBTC: initial ratio 150 %, maintenance 120 %, bonus 10 %, no ceiling, no price yet.
    function createIssuer() internal {
        oracle = new SettableOracle();
        issuer = new SynthIssuer(address(this), address(vault), address(oracle));
        vault.grantRole(vault.CORE_ROLE(), address(issuer));
        issuer.grantRole(issuer.LISTER_ROLE(), address(this));
        issuer.grantRole(issuer.GUARDIAN_ROLE(), address(this));
        issuer.configure(address(btc), ISynthIssuer.Terms(type(uint128).max, 150, 120, 10));
    }

    /* MONEY */

    function giveUnits(address account, uint256 amount) internal {
        usdc.mint(address(this), amount);
        usdc.approve(address(vault), amount);
        vault.depositFor(account, amount);
    }

    function giveLots(address account, uint256 lots) internal {
        vault.mintSynth(address(btc), account, lots * BASE_PER_LOT);
    }

    function units(address account) internal view returns (uint256) {
        return vault.balanceOf(account, address(usdc));
    }

    /// @dev The balance of tBTC in lots; it must be whole.
    function lotsOf(address account) internal view returns (uint256) {
        uint256 atoms = vault.balanceOf(account, address(btc));
        vm.assertEq(atoms % BASE_PER_LOT, 0);
        return atoms / BASE_PER_LOT;
    }

    function request(address account, address token, uint128 amount) internal {
        vm.prank(account);
        vault.requestWithdrawal(token, amount, account);
    }

    /// @dev What settlement hands the Vault to move `amount`.
    function movement(address from, address to, uint256 amount)
        internal
        pure
        returns (address[] memory accounts, Change[] memory changes)
    {
        (accounts, changes) = (new address[](2), new Change[](2));
        (accounts[0], accounts[1]) = (from, to);
        (changes[0], changes[1]) = (Changes.pack(-int256(amount), 0), Changes.pack(int256(amount), 0));
    }

    /* ORDERS */

    function nonceOf(uint16 slot, uint48 sequence) internal pure returns (uint64) {
        return uint64(slot) << 48 | sequence;
    }

    function resting(address account, uint8 side, uint64 price, uint64 size, uint64 nonce)
        internal
        pure
        returns (Order memory)
    {
        return Order(account, 0, BTC_USDC, side, KIND_LIMIT, TIF_GTC, 0, price, size, 0, CAP, nonce, 0);
    }

    function buy(address account, uint64 price, uint64 size) internal pure returns (Order memory) {
        return resting(account, SIDE_BUY, price, size, nonceOf(1, 1));
    }

    function sell(address account, uint64 price, uint64 size) internal pure returns (Order memory) {
        return resting(account, SIDE_SELL, price, size, nonceOf(1, 1));
    }

    function immediate(address account, uint8 side, uint64 price, uint64 size, uint48 sequence)
        internal
        pure
        returns (Order memory order)
    {
        order = resting(account, side, price, size, nonceOf(0, sequence));
        order.timeInForce = TIF_IOC;
    }

    /// @dev As good as any signature, at a tenth of the price: of most tests that are tried on ten thousand inputs, signing
    /// was the larger half. Its secret number is 1, whose point is the curve's generator, so that s = hash + r * key. That
    /// gives the key away. Tests of signatures and of gas override it with `walletSign`.
    function sign(uint256 key, bytes32 digest) internal pure virtual returns (bytes memory) {
        uint256 s = addmod(uint256(digest), mulmod(GENERATOR_X, key, CURVE_ORDER), CURVE_ORDER);
        bool isHigh = s > CURVE_ORDER / 2;
        return abi.encodePacked(GENERATOR_X, isHigh ? CURVE_ORDER - s : s, isHigh ? uint8(28) : uint8(27));
    }

    function walletSign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function keyOf(address account) internal view returns (uint256) {
        if (account == alice) return aliceKey;
        if (account == bob) return bobKey;
        if (account == carol) return carolKey;
        require(account == fees, "no key");
        return feesKey;
    }

    /* BATCHES */

    /// @return index Of the order in the batch that is being built.
    function add(Order memory order) internal returns (uint16 index) {
        return add(order, keyOf(order.account));
    }

    function add(Order memory order, uint256 key) internal returns (uint16 index) {
        orders.push(order);
        signatures.push(sign(key, settlement.hashOrder(order)));
        proofs.push();
        return uint16(orders.length - 1);
    }

    /// @dev Signed as the leaf at `position` of a tree with these siblings, from the leaf's up.
    function addBulk(Order memory order, uint256 key, uint8 position, bytes32[5] memory siblings)
        internal
        returns (uint16 index)
    {
        bytes32 node = keccak256(abi.encodePacked(bytes1(0x00), OrderHash.structHash(order)));
        for (uint256 level; level < 5; ++level) {
            (bytes32 left, bytes32 right) =
                position >> level & 1 == 1 ? (siblings[level], node) : (node, siblings[level]);
            node = keccak256(abi.encodePacked(bytes1(0x01), left, right));
        }
        orders.push(order);
        signatures.push(signRoot(key, node));
        proofs.push(BulkProof(true, position, siblings));
        return uint16(orders.length - 1);
    }

    function signRoot(uint256 key, bytes32 root) internal view returns (bytes memory) {
        return sign(key, digestOf(settlement.domainSeparator(), keccak256(abi.encode(BULK_TYPE_HASH, root))));
    }

    function match_(uint16 maker, uint16 taker, uint64 lots) internal {
        match_(maker, taker, lots, 0, 0);
    }

    function match_(uint16 maker, uint16 taker, uint64 lots, int32 makerPpm, int32 takerPpm) internal {
        fills.push(Fill(maker, taker, lots, makerPpm, takerPpm));
    }

    /// @dev The batch built so far; building starts anew.
    function take() internal returns (Batch memory batch) {
        batch = Batch(settlement.lastFill() + 1, orders, signatures, proofs, fills, ammQuotes);
        delete orders;
        delete signatures;
        delete proofs;
        delete fills;
        delete ammQuotes;
    }

    /// @return What settlement takes; its orders may be in any order here.
    function pack(Batch memory batch) internal view returns (bytes memory) {
        return PackedBatch.pack(PackedBatch.sorted(batch), fees);
    }

    /// @return refusals As logged by the batch built so far, which is settled.
    function settle() internal returns (bytes memory refusals) {
        return settle(take());
    }

    function settle(Batch memory batch) internal returns (bytes memory refusals) {
        vm.recordLogs();
        settlement.settle(pack(batch));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        // What AMM fills log comes first.
        (, refusals,) = abi.decode(logs[logs.length - 1].data, (uint64, bytes, bytes));
    }

    function settleReverts(bytes memory reason) internal {
        Batch memory batch = take();
        vm.expectRevert(reason);
        settlement.settle(pack(batch));
    }

    /// @dev One maker, one taker, one fill.
    function trade(Order memory maker, Order memory taker, uint64 lots) internal returns (bytes memory refusals) {
        match_(add(maker), add(taker), lots);
        return settle();
    }

    /// @dev What a batch logs to have changed of one token.
    function changed(address token, bytes memory rows) internal pure returns (bytes memory) {
        return abi.encodePacked(token, uint8(rows.length / 37), rows);
    }

    function changeOf(address account, int136 delta) internal pure returns (bytes memory) {
        return abi.encodePacked(account, delta);
    }

    function refusal(uint16 fill, uint8 reason) internal pure returns (bytes memory) {
        return abi.encodePacked(fill, reason);
    }

    /* SIGNED MESSAGES */

    function digestOf(bytes32 separator, bytes32 structHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    /// @dev A countersignature with a fresh nonce and an hour to live.
    function approve(address account, address token, uint256 amount, bytes32 purpose)
        internal
        returns (Authorization memory)
    {
        return approveBy(COSIGNER_KEY, account, token, amount, purpose, ++approvalNonce, block.timestamp + 1 hours);
    }

    function approveBy(
        uint256 key,
        address account,
        address token,
        uint256 amount,
        bytes32 purpose,
        uint256 nonce,
        uint256 deadline
    ) internal view returns (Authorization memory) {
        bytes32 hash = VaultMessages.approvalHash(account, token, amount, purpose, nonce, deadline);
        return Authorization(nonce, deadline, sign(key, digestOf(vault.domainSeparator(), hash)));
    }

    function withdrawalOf(address account, address token, uint256 amount, uint256 nonce)
        internal
        view
        returns (Withdrawal memory)
    {
        return Withdrawal(account, token, amount, account, false, nonce, block.timestamp + 1 hours);
    }

    function approveWithdrawal(Withdrawal memory withdrawal) internal returns (Authorization memory) {
        return approve(withdrawal.account, withdrawal.token, withdrawal.amount, purposeOf(withdrawal));
    }

    /// @dev All that the owner signs.
    function purposeOf(Withdrawal memory withdrawal) internal pure returns (bytes32) {
        return keccak256(abi.encode(VaultMessages.WITHDRAW_TYPE_HASH, withdrawal));
    }

    function signWithdrawal(Withdrawal memory withdrawal) internal view returns (bytes memory) {
        return sign(keyOf(withdrawal.account), digestOf(vault.domainSeparator(), purposeOf(withdrawal)));
    }

    /// @return The 64-byte form of a 65-byte signature (ERC-2098).
    function compact(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = split(signature);
        return abi.encodePacked(r, uint256(s) | (uint256(v - 27) << 255));
    }

    /// @return The same signature with the other s, which ecrecover itself takes for as good.
    function mirrored(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = split(signature);
        return abi.encodePacked(r, CURVE_ORDER - uint256(s), v == 27 ? uint8(28) : uint8(27));
    }

    function split(bytes memory signature) internal pure returns (bytes32 r, bytes32 s, uint8 v) {
        assembly ("memory-safe") {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
            v := byte(0, mload(add(signature, 96)))
        }
    }

    function drawOnRequest() internal pure returns (Authorization memory none) {}

    /* ROLES */

    /// @dev The next call is turned away because `account` has no such role, and for nothing else.
    function expectUnauthorized(address account, bytes32 role) internal {
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, account, role));
    }

    /* CONSERVATION */

    /// @dev The law of IVault.Totals, and that the accounts named hold all of it.
    function assertConserved(address token, address[] memory accounts) internal view {
        IVault.Totals memory totals = vault.totalsOf(token);
        uint256 sum;
        for (uint256 i; i < accounts.length; ++i) {
            sum += vault.balanceOf(accounts[i], token);
        }
        vm.assertEq(sum, totals.internalTotal, "accounts hold the internal total");
        vm.assertEq(
            totals.internalTotal + totals.locked,
            totals.deposits + totals.minted - totals.withdrawals - totals.burned,
            "totals"
        );
    }
}
