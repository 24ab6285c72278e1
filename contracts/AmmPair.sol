// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    ERC20PermitUpgradeable
} from "@openzeppelin/contracts-upgradeable/token/ERC20/extensions/ERC20PermitUpgradeable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAmmPair} from "./interfaces/IAmmPair.sol";

/// @title A constant-product pool; see IAmmPair
/// @dev Lives behind EIP-1167 clones, without constructor arguments. The arithmetic is Uniswap v2's, without its flash
/// loans: input is counted before anything is paid, so that every function checks, writes, emits, and only then calls.
contract AmmPair is IAmmPair, ERC20PermitUpgradeable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev Shares that the first mint locks for ever: whoever blows up the price of a share pays for all of them.
    uint256 public constant MINIMUM_LIQUIDITY = 1_000;
    /// @dev Owner of the locked shares. Nobody has its key.
    address public constant LOCKED_SHARES_OWNER = address(0xdead);
    /// @dev Of every input; it stays in the pool. Python twin: `offchain.domain.amm`.
    uint256 public constant FEE_PPM = 3_000;

    /// @dev FEE_PPM in the terms of Uniswap v2, whose products stay below 2^256: 112 + 112 + 2 * 10 bits.
    uint256 private constant KEPT = 997;
    uint256 private constant WHOLE = 1_000;

    /* STORAGE */

    /// @inheritdoc IAmmPair
    address public override base;
    /// @inheritdoc IAmmPair
    address public override quote;

    /// @dev One word.
    uint112 private _baseReserve;
    uint112 private _quoteReserve;
    uint32 private _at;

    /// @dev Up to `_at`.
    uint256 private _baseCumulative;
    uint256 private _quoteCumulative;

    /// @dev Neither the tokens nor the pair: what they got would belong to whoever called next, or to nobody.
    modifier onlyTo(address to) {
        if (to == base || to == quote || to == address(this)) revert InvalidReceiver();
        _;
    }

    constructor() {
        _disableInitializers();
    }

    /// @inheritdoc IAmmPair
    function initialize(address base_, address quote_) external initializer {
        (base, quote) = (base_, quote_);
    }

    /* LIQUIDITY */

    /// @inheritdoc IAmmPair
    function mint(address to) external nonReentrant onlyTo(to) returns (uint256 shares) {
        (uint256 baseReserve, uint256 quoteReserve,) = reserves();
        (uint256 baseBalance, uint256 quoteBalance) = _balances();
        uint256 baseAmount = baseBalance - baseReserve;
        uint256 quoteAmount = quoteBalance - quoteReserve;

        // Before the shares are computed: it bounds what is multiplied.
        _setReserves(baseBalance, quoteBalance);
        uint256 supply = totalSupply();
        if (supply == 0) {
            uint256 root = Math.sqrt(baseAmount * quoteAmount);
            if (root <= MINIMUM_LIQUIDITY) revert InsufficientLiquidity();
            shares = root - MINIMUM_LIQUIDITY;
            _mint(LOCKED_SHARES_OWNER, MINIMUM_LIQUIDITY);
        } else {
            // Down, and by the scarcer side: k per share never falls.
            shares =
                Math.min(Math.mulDiv(baseAmount, supply, baseReserve), Math.mulDiv(quoteAmount, supply, quoteReserve));
            if (shares == 0) revert InsufficientLiquidity();
        }
        _mint(to, shares);

        emit Mint(msg.sender, baseAmount, quoteAmount, shares, to);
    }

    /// @inheritdoc IAmmPair
    function burn(address to) external nonReentrant onlyTo(to) returns (uint256 baseAmount, uint256 quoteAmount) {
        (uint256 baseBalance, uint256 quoteBalance) = _balances();
        uint256 shares = balanceOf(address(this));
        if (shares == 0) revert InsufficientLiquidity();
        uint256 supply = totalSupply();
        // Of what is there, so that all shares get their part of what was sent without a call.
        baseAmount = Math.mulDiv(shares, baseBalance, supply);
        quoteAmount = Math.mulDiv(shares, quoteBalance, supply);
        if (baseAmount == 0 || quoteAmount == 0) revert InsufficientLiquidity();

        _burn(address(this), shares);
        _setReserves(baseBalance - baseAmount, quoteBalance - quoteAmount);

        emit Burn(msg.sender, baseAmount, quoteAmount, shares, to);

        IERC20(base).safeTransfer(to, baseAmount);
        IERC20(quote).safeTransfer(to, quoteAmount);
    }

    /* SWAP */

    /// @inheritdoc IAmmPair
    function swap(uint256 baseOut, uint256 quoteOut, address to) external nonReentrant onlyTo(to) {
        (uint256 baseReserve, uint256 quoteReserve,) = reserves();
        if (baseOut == 0 && quoteOut == 0 || baseOut >= baseReserve || quoteOut >= quoteReserve) {
            revert InsufficientOutput();
        }
        (uint256 baseBalance, uint256 quoteBalance) = _balances();
        uint256 baseIn = baseBalance - baseReserve;
        uint256 quoteIn = quoteBalance - quoteReserve;
        baseBalance -= baseOut;
        quoteBalance -= quoteOut;

        // Before the product: it bounds what is multiplied.
        _setReserves(baseBalance, quoteBalance);
        uint256 product = baseReserve * quoteReserve * WHOLE * WHOLE;
        if (_lessFee(baseBalance, baseIn) * _lessFee(quoteBalance, quoteIn) < product) revert InsufficientInput();

        emit Swap(msg.sender, baseIn, quoteIn, baseOut, quoteOut, to);

        if (baseOut != 0) IERC20(base).safeTransfer(to, baseOut);
        if (quoteOut != 0) IERC20(quote).safeTransfer(to, quoteOut);
    }

    /// @dev In parts of WHOLE. `balance` exceeds `amountIn`, because less goes out than there was.
    function _lessFee(uint256 balance, uint256 amountIn) private pure returns (uint256) {
        return balance * WHOLE - amountIn * (WHOLE - KEPT);
    }

    /* UPKEEP */

    /// @inheritdoc IAmmPair
    function skim(address to) external nonReentrant onlyTo(to) {
        (uint256 baseBalance, uint256 quoteBalance) = _balances();
        uint256 baseSurplus = baseBalance - _baseReserve;
        uint256 quoteSurplus = quoteBalance - _quoteReserve;

        if (baseSurplus != 0) IERC20(base).safeTransfer(to, baseSurplus);
        if (quoteSurplus != 0) IERC20(quote).safeTransfer(to, quoteSurplus);
    }

    /// @inheritdoc IAmmPair
    function sync() external nonReentrant {
        (uint256 baseBalance, uint256 quoteBalance) = _balances();
        _setReserves(baseBalance, quoteBalance);
    }

    /// @dev Every change of the reserves: the old price counts up to now.
    function _setReserves(uint256 baseBalance, uint256 quoteBalance) private {
        if (baseBalance > type(uint112).max || quoteBalance > type(uint112).max) revert ReserveOverflow();
        (uint256 baseCumulative, uint256 quoteCumulative, uint32 at) = cumulativePrices();
        if (at != _at) {
            // The reader takes differences: a sum that wraps is right.
            _baseCumulative = baseCumulative;
            _quoteCumulative = quoteCumulative;
        }
        (_baseReserve, _quoteReserve, _at) = (uint112(baseBalance), uint112(quoteBalance), at);

        emit Sync(uint112(baseBalance), uint112(quoteBalance));
    }

    function _balances() private view returns (uint256 baseBalance, uint256 quoteBalance) {
        baseBalance = IERC20(base).balanceOf(address(this));
        quoteBalance = IERC20(quote).balanceOf(address(this));
    }

    /* VIEWS */

    /// @inheritdoc IAmmPair
    function reserves() public view returns (uint112 baseReserve, uint112 quoteReserve, uint32 at) {
        return (_baseReserve, _quoteReserve, _at);
    }

    /// @inheritdoc IAmmPair
    function cumulativePrices() public view returns (uint256 baseCumulative, uint256 quoteCumulative, uint32 at) {
        (uint256 baseReserve, uint256 quoteReserve, uint32 since) = reserves();
        at = uint32(block.timestamp);
        (baseCumulative, quoteCumulative) = (_baseCumulative, _quoteCumulative);
        if (baseReserve == 0 || quoteReserve == 0) return (baseCumulative, quoteCumulative, at);

        // Time and sums wrap; differences of both are right as long as a pool is touched once in 136 years.
        unchecked {
            uint32 elapsed = at - since;
            baseCumulative += (quoteReserve << 112) / baseReserve * elapsed;
            quoteCumulative += (baseReserve << 112) / quoteReserve * elapsed;
        }
    }

    /// @inheritdoc IAmmPair
    function getAmountOut(uint256 amountIn, bool isBaseIn) external view returns (uint256 amountOut) {
        (uint256 reserveIn, uint256 reserveOut) = _reservesFrom(isBaseIn);
        // What the pool cannot hold it does not buy.
        if (reserveIn == 0 || amountIn > type(uint112).max - reserveIn) return 0;

        uint256 kept = amountIn * KEPT;
        return kept * reserveOut / (reserveIn * WHOLE + kept);
    }

    /// @inheritdoc IAmmPair
    function getAmountIn(uint256 amountOut, bool isBaseOut) external view returns (uint256 amountIn) {
        (uint256 reserveIn, uint256 reserveOut) = _reservesFrom(!isBaseOut);
        if (amountOut == 0 || amountOut >= reserveOut || reserveIn == 0) revert InsufficientOutput();

        amountIn = reserveIn * amountOut * WHOLE / ((reserveOut - amountOut) * KEPT) + 1;
        if (amountIn > type(uint112).max - reserveIn) revert ReserveOverflow();
    }

    function _reservesFrom(bool isBaseIn) private view returns (uint256 reserveIn, uint256 reserveOut) {
        return isBaseIn ? (_baseReserve, _quoteReserve) : (_quoteReserve, _baseReserve);
    }

    /* SHARES */

    // Nothing is stored for the names: a pool costs a third less to open, and its synth keeps its name for ever.

    /// @dev "HOOATS LP " and the synth's symbol.
    function name() public view override returns (string memory) {
        return string.concat("HOOATS LP ", IERC20Metadata(base).symbol());
    }

    /// @dev The synth's symbol and "-LP".
    function symbol() public view override returns (string memory) {
        return string.concat(IERC20Metadata(base).symbol(), "-LP");
    }

    /// @dev For permits.
    // solhint-disable-next-line func-name-mixedcase
    function _EIP712Name() internal view override returns (string memory) {
        return name();
    }

    /// @dev For permits.
    // solhint-disable-next-line func-name-mixedcase
    function _EIP712Version() internal pure override returns (string memory) {
        return "1";
    }
}
