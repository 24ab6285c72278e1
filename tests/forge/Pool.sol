// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IAmmPair} from "../../contracts/interfaces/IAmmPair.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {FLAG_AMM, Order, SIDE_BUY, SIDE_SELL} from "../../contracts/interfaces/Types.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {Fixture} from "./Fixture.sol";
import {PlainPair} from "./PlainPair.sol";
import {AMM_MAKER_INDEX, Fill} from "./ReadableSettlement.sol";

/// @title The venue with a pool of tBTC (a million lots at 10,000 units a lot) and a second market, and the words for
/// AMM fills
abstract contract Pool is Fixture {
    uint32 internal constant ETH_USDC = 2;
    uint256 internal constant POOL_LOTS = 1_000_000;
    uint256 internal constant POOL_UNITS = 10 ** 10;
    address internal constant STRANGER = address(0x57);

    SynthERC20 internal eth;
    IAmmPair internal btcPool;
    IAmmPair internal ethPool;

    function setUp() public virtual override {
        super.setUp();
        eth = newSynth("Test Ether", "tETH");
        vault.registerSynth(address(eth));
        settlement.listMarket(ETH_USDC, address(eth), BASE_PER_LOT, QUOTE_PER_TICK_LOT, "ETH-USDC");
        btcPool = openPool(btc, POOL_LOTS * BASE_PER_LOT, POOL_UNITS);
        ethPool = openPool(eth, POOL_LOTS * BASE_PER_LOT, POOL_UNITS);
    }

    /// @dev Its shares are the stranger's.
    function openPool(SynthERC20 base, uint256 baseAtoms, uint256 quoteAtoms) internal returns (IAmmPair pair) {
        pair = IAmmPair(ammFactory.createPair(address(base)));
        hand(base, address(pair), baseAtoms);
        usdc.mint(address(pair), quoteAtoms);
        pair.mint(STRANGER);
    }

    /// @dev All but the shares that nobody has.
    function drain(IAmmPair pair) internal {
        uint256 shares = IERC20(address(pair)).balanceOf(STRANGER);
        vm.prank(STRANGER);
        IERC20(address(pair)).transfer(address(pair), shares);
        pair.burn(STRANGER);
    }

    /// @dev From now on the pool does as the test says, for as long as this is not put right.
    function takeOver(IAmmPair pair) internal returns (PlainPair taken) {
        address code = address(new PlainPair(IERC20(pair.base()), IERC20(pair.quote())));
        vm.etch(address(pair), code.code);
        taken = PlainPair(address(pair));
        taken.sync();
    }

    /* TOKENS OUTSIDE THE VAULT */

    /// @dev Atoms of a synth to a wallet or a pool.
    function hand(SynthERC20 base, address to, uint256 atoms) internal {
        vm.prank(address(vault));
        base.mint(to, atoms);
    }

    /// @dev A stranger sells to the pool; returns what it paid.
    function sellTo(IAmmPair pair, SynthERC20 base, uint256 baseAtoms) internal returns (uint256 quoteAtoms) {
        quoteAtoms = pair.getAmountOut(baseAtoms, true);
        hand(base, address(pair), baseAtoms);
        pair.swap(0, quoteAtoms, STRANGER);
    }

    /// @dev A stranger buys from the pool; returns what it gave.
    function buyFrom(IAmmPair pair, uint256 quoteAtoms) internal returns (uint256 baseAtoms) {
        baseAtoms = pair.getAmountOut(quoteAtoms, false);
        usdc.mint(address(pair), quoteAtoms);
        pair.swap(baseAtoms, 0, STRANGER);
    }

    /* WHAT A POOL GIVES, IN THE PLAINEST WAY */

    function outOf(uint256 amountIn, uint256 reserveIn, uint256 reserveOut) internal pure returns (uint256) {
        return amountIn * 997 * reserveOut / (reserveIn * 1_000 + amountIn * 997);
    }

    /// @dev Units that `lots` fetch now.
    function proceeds(SynthERC20 base, IAmmPair pair, uint256 lots) internal view returns (uint256) {
        return outOf(lots * BASE_PER_LOT, base.balanceOf(address(pair)), usdc.balanceOf(address(pair)));
    }

    /// @dev Atoms that `amount` units fetch now.
    function bought(SynthERC20 base, IAmmPair pair, uint256 amount) internal view returns (uint256) {
        return outOf(amount, usdc.balanceOf(address(pair)), base.balanceOf(address(pair)));
    }

    /// @dev Least units that fetch `lots` now.
    function cost(SynthERC20 base, IAmmPair pair, uint256 lots) internal view returns (uint256 amount) {
        uint256 atoms = lots * BASE_PER_LOT;
        (uint256 reserveIn, uint256 reserveOut) = (usdc.balanceOf(address(pair)), base.balanceOf(address(pair)));
        return reserveIn * atoms * 1_000 / ((reserveOut - atoms) * 997) + 1;
    }

    /* ORDERS AND FILLS */

    function amm(address account, uint8 side, uint64 price, uint64 size, uint48 sequence)
        internal
        pure
        returns (Order memory order)
    {
        order = immediate(account, side, price, size, sequence);
        order.flags = FLAG_AMM;
    }

    function ammBuy(address account, uint64 price, uint64 size) internal pure returns (Order memory) {
        return amm(account, SIDE_BUY, price, size, 1);
    }

    function ammSell(address account, uint64 price, uint64 size) internal pure returns (Order memory) {
        return amm(account, SIDE_SELL, price, size, 1);
    }

    function onEth(Order memory order) internal pure returns (Order memory) {
        order.market = ETH_USDC;
        return order;
    }

    /// @dev The next fill of the batch: all of `order` with its pair, for `quote` units.
    function leg(Order memory order, uint256 quote) internal {
        leg(order, quote, 0);
    }

    function leg(Order memory order, uint256 quote, int32 takerPpm) internal {
        legBy(order, keyOf(order.account), quote, takerPpm);
    }

    function legBy(Order memory order, uint256 key, uint256 quote, int32 takerPpm) internal {
        fills.push(Fill(AMM_MAKER_INDEX, add(order, key), order.sizeLots, 0, takerPpm));
        ammQuotes.push(uint128(quote));
    }

    /* CHECKS */

    /// @dev Everything there is of a token is in the Vault, in the pools, or with the stranger; the Vault's part is that
    /// of its accounts; and no pool has kept anything in its row.
    function assertPoolsConserved() internal view {
        address[] memory accounts = new address[](4);
        (accounts[0], accounts[1], accounts[2], accounts[3]) = (alice, bob, carol, fees);
        IERC20[3] memory tokens = [IERC20(address(usdc)), IERC20(address(btc)), IERC20(address(eth))];
        for (uint256 i; i < 3; ++i) {
            IERC20 token = tokens[i];
            assertConserved(address(token), accounts);
            IVault.Totals memory totals = vault.totalsOf(address(token));
            vm.assertEq(token.balanceOf(address(vault)), totals.internalTotal + totals.locked, "custody");
            vm.assertEq(
                token.totalSupply(),
                token.balanceOf(address(vault)) + token.balanceOf(address(btcPool)) + token.balanceOf(address(ethPool))
                    + token.balanceOf(STRANGER),
                "supply"
            );
            vm.assertEq(vault.balanceOf(address(btcPool), address(token)), 0, "row of the pool of tBTC");
            vm.assertEq(vault.balanceOf(address(ethPool), address(token)), 0, "row of the pool of tETH");
        }
    }
}
