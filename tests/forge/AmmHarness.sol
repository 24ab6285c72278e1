// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {AmmPair} from "../../contracts/AmmPair.sol";

/// @dev Anyone mints any amount.
contract PlayMoney is ERC20 {
    constructor() ERC20("Play money", "PLAY") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @title Runs a list of operations on a pool of its own, for comparison with Python
/// @dev Called, never sent: all of it happens within one `eth_call`. Both tokens are play money, since a pool knows
/// nothing of either but its balance.
contract AmmHarness {
    uint8 internal constant MINT = 0;
    uint8 internal constant BURN = 1;
    uint8 internal constant SWAP = 2;
    uint8 internal constant DONATE = 3;
    uint8 internal constant SKIM = 4;
    uint8 internal constant SYNC = 5;

    /// @dev `baseIn`, `quoteIn` and `shares` are sent before the call. A swap asks for the outputs.
    struct Operation {
        uint8 kind;
        uint256 baseIn;
        uint256 quoteIn;
        uint256 shares;
        uint256 baseOut;
        uint256 quoteOut;
    }

    /// @dev After an operation. `first` and `second` are what it returned; skim's are what the receiver got.
    struct Result {
        bool isDone;
        uint256 first;
        uint256 second;
        uint256 baseReserve;
        uint256 quoteReserve;
        uint256 baseBalance;
        uint256 quoteBalance;
        uint256 supply;
        uint256 ownShares;
        uint256 nextOut;
    }

    PlayMoney internal base;
    PlayMoney internal quote;
    AmmPair internal pool;
    address internal constant RECEIVER = address(0xBEEF);

    function run(Operation[] calldata operations) external returns (Result[] memory results) {
        base = new PlayMoney();
        quote = new PlayMoney();
        pool = AmmPair(Clones.clone(address(new AmmPair())));
        pool.initialize(address(base), address(quote));

        results = new Result[](operations.length);
        for (uint256 i; i < operations.length; ++i) {
            Operation calldata operation = operations[i];
            base.mint(address(pool), operation.baseIn);
            quote.mint(address(pool), operation.quoteIn);
            pool.transfer(address(pool), operation.shares);
            (results[i].isDone, results[i].first, results[i].second) = perform(operation);
            look(results[i], operation);
        }
    }

    function perform(Operation calldata operation) internal returns (bool, uint256, uint256) {
        if (operation.kind == MINT) {
            try pool.mint(address(this)) returns (uint256 shares) {
                return (true, shares, 0);
            } catch {
                return (false, 0, 0);
            }
        }
        if (operation.kind == BURN) {
            try pool.burn(RECEIVER) returns (uint256 baseAmount, uint256 quoteAmount) {
                return (true, baseAmount, quoteAmount);
            } catch {
                return (false, 0, 0);
            }
        }
        if (operation.kind == SWAP) {
            try pool.swap(operation.baseOut, operation.quoteOut, RECEIVER) {
                return (true, 0, 0);
            } catch {
                return (false, 0, 0);
            }
        }
        if (operation.kind == SKIM) {
            (uint256 baseHeld, uint256 quoteHeld) = (base.balanceOf(RECEIVER), quote.balanceOf(RECEIVER));
            pool.skim(RECEIVER);
            return (true, base.balanceOf(RECEIVER) - baseHeld, quote.balanceOf(RECEIVER) - quoteHeld);
        }
        if (operation.kind == SYNC) pool.sync();
        return (true, 0, 0);
    }

    function look(Result memory result, Operation calldata operation) internal view {
        (result.baseReserve, result.quoteReserve,) = pool.reserves();
        result.baseBalance = base.balanceOf(address(pool));
        result.quoteBalance = quote.balanceOf(address(pool));
        result.supply = pool.totalSupply();
        result.ownShares = pool.balanceOf(address(pool));
        result.nextOut = pool.getAmountOut(operation.baseIn, true);
    }

    /// @dev A formula asked of a pool of any reserves. `isOut` asks for what comes out, else for what must go in; zero
    /// where that is refused.
    function quotes(uint256[3][] calldata cases, bool isOut) external returns (uint256[] memory amounts) {
        amounts = new uint256[](cases.length);
        address implementation = address(new AmmPair());
        base = new PlayMoney();
        quote = new PlayMoney();
        for (uint256 i; i < cases.length; ++i) {
            AmmPair fresh = AmmPair(Clones.clone(implementation));
            fresh.initialize(address(base), address(quote));
            base.mint(address(fresh), cases[i][1]);
            quote.mint(address(fresh), cases[i][2]);
            fresh.sync();
            if (isOut) {
                amounts[i] = fresh.getAmountOut(cases[i][0], true);
            } else {
                try fresh.getAmountIn(cases[i][0], false) returns (uint256 amount) {
                    amounts[i] = amount;
                } catch {} // solhint-disable-line no-empty-blocks
            }
        }
    }
}
