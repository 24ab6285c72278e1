// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title The twin of AmmPair: what it must do, said as plainly as possible and without a thought of gas
/// @dev Outputs are searched for by the law they must keep, not computed by its formula. Amounts stay below 2^90, so that
/// nothing overflows.
library NaivePool {
    uint256 internal constant MINIMUM_LIQUIDITY = 1_000;

    struct Pool {
        uint256 baseBalance;
        uint256 quoteBalance;
        uint256 baseReserve;
        uint256 quoteReserve;
        uint256 supply;
        uint256 ownShares;
        uint256 at;
        uint256 baseCumulative;
        uint256 quoteCumulative;
    }

    /* WHAT IS SENT */

    function receiveTokens(Pool storage pool, uint256 baseAtoms, uint256 quoteAtoms) internal {
        pool.baseBalance += baseAtoms;
        pool.quoteBalance += quoteAtoms;
    }

    function receiveShares(Pool storage pool, uint256 shares) internal {
        pool.ownShares += shares;
    }

    /* WHAT IS CALLED */

    function mint(Pool storage pool) internal returns (bool isPossible, uint256 shares) {
        uint256 baseIn = pool.baseBalance - pool.baseReserve;
        uint256 quoteIn = pool.quoteBalance - pool.quoteReserve;
        if (pool.supply == 0) {
            uint256 root = rootDown(baseIn * quoteIn);
            if (root <= MINIMUM_LIQUIDITY) return (false, 0);
            shares = root - MINIMUM_LIQUIDITY;
            pool.supply = root;
        } else {
            uint256 byBase = baseIn * pool.supply / pool.baseReserve;
            uint256 byQuote = quoteIn * pool.supply / pool.quoteReserve;
            shares = byBase < byQuote ? byBase : byQuote;
            if (shares == 0) return (false, 0);
            pool.supply += shares;
        }
        sync(pool);
        return (true, shares);
    }

    function burn(Pool storage pool) internal returns (bool isPossible, uint256 baseOut, uint256 quoteOut) {
        if (pool.supply == 0) return (false, 0, 0);
        baseOut = pool.ownShares * pool.baseBalance / pool.supply;
        quoteOut = pool.ownShares * pool.quoteBalance / pool.supply;
        if (baseOut == 0 || quoteOut == 0) return (false, 0, 0);
        pool.supply -= pool.ownShares;
        pool.ownShares = 0;
        pool.baseBalance -= baseOut;
        pool.quoteBalance -= quoteOut;
        sync(pool);
        return (true, baseOut, quoteOut);
    }

    function swap(Pool storage pool, uint256 baseOut, uint256 quoteOut) internal returns (bool isPossible) {
        if (baseOut + quoteOut == 0 || baseOut >= pool.baseReserve || quoteOut >= pool.quoteReserve) return false;
        uint256 baseIn = pool.baseBalance - pool.baseReserve;
        uint256 quoteIn = pool.quoteBalance - pool.quoteReserve;
        // In millionths: 3,000 of each input count for nothing.
        uint256 baseKept = (pool.baseReserve - baseOut) * 1e6 + baseIn * (1e6 - 3_000);
        uint256 quoteKept = (pool.quoteReserve - quoteOut) * 1e6 + quoteIn * (1e6 - 3_000);
        if (baseKept * quoteKept < pool.baseReserve * pool.quoteReserve * 1e12) return false;
        pool.baseBalance -= baseOut;
        pool.quoteBalance -= quoteOut;
        sync(pool);
        return true;
    }

    function skim(Pool storage pool) internal returns (uint256 baseOut, uint256 quoteOut) {
        baseOut = pool.baseBalance - pool.baseReserve;
        quoteOut = pool.quoteBalance - pool.quoteReserve;
        pool.baseBalance = pool.baseReserve;
        pool.quoteBalance = pool.quoteReserve;
    }

    function sync(Pool storage pool) internal {
        (pool.baseCumulative, pool.quoteCumulative) = cumulative(pool);
        pool.at = block.timestamp;
        pool.baseReserve = pool.baseBalance;
        pool.quoteReserve = pool.quoteBalance;
    }

    /* VIEWS */

    /// @dev Sums that never wrap: compare them modulo 2^256.
    function cumulative(Pool storage pool) internal view returns (uint256 base, uint256 quote) {
        (base, quote) = (pool.baseCumulative, pool.quoteCumulative);
        if (pool.baseReserve == 0 || pool.quoteReserve == 0) return (base, quote);
        uint256 elapsed = block.timestamp - pool.at;
        base += pool.quoteReserve * 2 ** 112 / pool.baseReserve * elapsed;
        quote += pool.baseReserve * 2 ** 112 / pool.quoteReserve * elapsed;
    }

    /// @dev The most that leaves (reserveIn + 99.7 % of amountIn) * reserve of the other side at or above the product.
    function mostOut(Pool storage pool, uint256 amountIn, bool isBaseIn) internal view returns (uint256) {
        (uint256 reserveIn, uint256 reserveOut) =
            isBaseIn ? (pool.baseReserve, pool.quoteReserve) : (pool.quoteReserve, pool.baseReserve);
        if (reserveIn == 0 || reserveOut == 0) return 0;
        uint256 low;
        uint256 high = reserveOut;
        while (high - low > 1) {
            uint256 out = (low + high) / 2;
            bool isKept = (reserveIn * 1000 + amountIn * 997) * (reserveOut - out) >= reserveIn * reserveOut * 1000;
            (low, high) = isKept ? (out, high) : (low, out);
        }
        return low;
    }

    function rootDown(uint256 square) internal pure returns (uint256 low) {
        uint256 high = 2 ** 128;
        while (high - low > 1) {
            uint256 middle = (low + high) / 2;
            (low, high) = middle * middle <= square ? (middle, high) : (low, middle);
        }
    }
}
