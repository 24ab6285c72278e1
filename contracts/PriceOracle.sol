// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IPriceOracle} from "./interfaces/IPriceOracle.sol";
import {IPriceSource} from "./interfaces/IPriceSource.sol";
import {MAX_PRICE_AGE} from "./interfaces/Types.sol";
import {TwoStepAdmin} from "./TwoStepAdmin.sol";

/// @title The accepted price of every synth; see IPriceOracle
/// @dev Sources are called by STATICCALL with bounded gas and at most 64 bytes of their answer are looked at: whatever
/// they do, they are one reading more or less.
contract PriceOracle is IPriceOracle, TwoStepAdmin {
    /// @dev `since`: what it posted before it got the role (perhaps again) does not count.
    struct Poster {
        address account;
        uint40 since;
    }

    struct Reading {
        uint128 price;
        uint40 at;
    }

    /// @dev `scaled` is the price in units of 2^-32: with whole units only, frequent small moves of a small price would
    /// all round to nothing, and anyone could hold it where it is by calling `accept` often.
    struct Accepted {
        uint160 scaled;
        uint40 at;
        uint40 resumedAt;
    }

    bytes32 public constant LISTER_ROLE = keccak256("LISTER_ROLE");
    bytes32 public constant POSTER_ROLE = keccak256("POSTER_ROLE");

    /// @dev Every one costs each acceptance two storage reads.
    uint256 public constant MAX_POSTERS = 16;
    /// @dev Per feed. Bounds what an acceptance may cost: SOURCE_GAS for each.
    uint256 public constant MAX_SOURCES = 4;
    /// @dev Seconds; the bound of a feed's `maxAge`. A shutdown counts on it.
    uint256 public constant MAX_AGE = MAX_PRICE_AGE;
    /// @dev The bound of a feed's speed: all of its price in a minute.
    uint256 public constant MAX_MOVE_PPM_PER_MINUTE = 1_000_000;
    /// @dev Gas that one source is given; one that needs more is no reading.
    uint256 public constant SOURCE_GAS = 200_000;
    /// @dev A call can be given 63/64 of what is left, after what the call itself costs.
    uint256 private constant SOURCE_GAS_LEFT = SOURCE_GAS * 64 / 63 + 10_000;

    uint256 private constant SCALE_BITS = 32;
    uint256 private constant PPM_SECONDS_PER_MINUTE = 1_000_000 * 60;

    /* STORAGE */

    Poster[] private _posters;
    mapping(address poster => mapping(address synth => Reading)) private _posts;
    mapping(address synth => Feed) private _feeds;
    mapping(address synth => Accepted) private _accepted;

    constructor(address admin_) TwoStepAdmin(admin_) {}

    /* FEEDS */

    /// @inheritdoc IPriceOracle
    function configure(address synth, Feed calldata feed) external {
        Feed storage stored = _feeds[synth];
        _checkRole(stored.quorum == 0 ? LISTER_ROLE : DEFAULT_ADMIN_ROLE);
        _requireWellFormed(synth, feed);

        Accepted storage current = _accepted[synth];
        if (current.at != 0 && block.timestamp > current.at + stored.maxAge) {
            current.resumedAt = uint40(block.timestamp);
        }
        (stored.quorum, stored.maxAge, stored.maxMovePpmPerMinute) =
        (feed.quorum, feed.maxAge, feed.maxMovePpmPerMinute);
        stored.sources = feed.sources;

        emit FeedConfigured(synth, feed.quorum, feed.maxAge, feed.maxMovePpmPerMinute, feed.sources);
    }

    function _requireWellFormed(address synth, Feed calldata feed) private pure {
        uint256 count = feed.sources.length;
        bool isBounded = synth != address(0) && count <= MAX_SOURCES && feed.quorum != 0 && feed.quorum > 2 * count
            && feed.quorum <= MAX_POSTERS + count && feed.maxAge != 0 && feed.maxAge <= MAX_AGE
            && feed.maxMovePpmPerMinute != 0 && feed.maxMovePpmPerMinute <= MAX_MOVE_PPM_PER_MINUTE;
        if (!isBounded) revert MalformedFeed();

        for (uint256 i; i < count; ++i) {
            if (address(feed.sources[i]) == address(0)) revert MalformedFeed();
            for (uint256 j; j < i; ++j) {
                if (feed.sources[i] == feed.sources[j]) revert MalformedFeed();
            }
        }
    }

    /* POSTING AND ACCEPTING */

    /// @inheritdoc IPriceOracle
    function post(address[] calldata synths, uint256[] calldata prices) external {
        _post(synths, prices);
    }

    /// @inheritdoc IPriceOracle
    function postUntil(uint40 deadline, address[] calldata synths, uint256[] calldata prices) external {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline);
        _post(synths, prices);
    }

    /// @inheritdoc IPriceOracle
    function accept(address synth) external returns (bool accepted) {
        if (_feeds[synth].quorum == 0) revert UnknownFeed(synth);
        return _accept(synth, _posters);
    }

    function _post(address[] calldata synths, uint256[] calldata prices) private onlyRole(POSTER_ROLE) {
        if (synths.length != prices.length) revert LengthMismatch();
        for (uint256 i; i < synths.length; ++i) {
            (address synth, uint256 price) = (synths[i], prices[i]);
            if (_feeds[synth].quorum == 0) revert UnknownFeed(synth);
            if (price == 0 || price > type(uint128).max) revert PriceOutOfRange(price);

            _posts[msg.sender][synth] = Reading(uint128(price), uint40(block.timestamp));
            emit PricePosted(msg.sender, synth, price);
        }
        Poster[] memory current = _posters;
        for (uint256 i; i < synths.length; ++i) {
            _accept(synths[i], current);
        }
    }

    /// @dev Moves the accepted price towards the median, if a quorum counts.
    function _accept(address synth, Poster[] memory current) private returns (bool) {
        Feed memory feed = _feeds[synth];
        (uint256[] memory readings, uint256 count) = _readings(synth, feed, current);
        if (count < feed.quorum) return false;

        uint256 median = _medianDown(readings, count);
        Accepted memory last = _accepted[synth];
        bool isFirst = last.at == 0;
        uint256 elapsed = block.timestamp - last.at;
        if (isFirst) {
            last.scaled = uint160(median << SCALE_BITS);
        } else {
            uint256 seconds_ = elapsed < feed.maxAge ? elapsed : feed.maxAge;
            last.scaled = uint160(_movedDown(last.scaled, median << SCALE_BITS, feed.maxMovePpmPerMinute * seconds_));
            if (elapsed > feed.maxAge) last.resumedAt = uint40(block.timestamp);
        }
        last.at = uint40(block.timestamp);
        _accepted[synth] = last;

        emit PriceAccepted(synth, last.scaled >> SCALE_BITS, median, uint8(count), last.resumedAt);
        return true;
    }

    /// @dev From `last` towards `target`, by at most `last * ppmSeconds`, rounded down. `last` has 160 bits and
    /// `ppmSeconds` at most 32.
    function _movedDown(uint256 last, uint256 target, uint256 ppmSeconds) private pure returns (uint256) {
        uint256 move = last * ppmSeconds / PPM_SECONDS_PER_MINUTE;
        if (target > last) return target - last > move ? last + move : target;
        return last - target > move ? last - move : target;
    }

    /* READINGS */

    /// @dev All readings that count now, in no order; `readings` may be longer than `count`.
    function _readings(address synth, Feed memory feed, Poster[] memory current)
        private
        view
        returns (uint256[] memory readings, uint256 count)
    {
        readings = new uint256[](current.length + feed.sources.length);
        for (uint256 i; i < current.length; ++i) {
            Reading storage reading = _posts[current[i].account][synth];
            (uint256 price, uint256 at) = (reading.price, reading.at);
            if (at >= current[i].since && _counts(price, at, feed.maxAge)) readings[count++] = price;
        }
        for (uint256 i; i < feed.sources.length; ++i) {
            (uint256 price, uint256 at) = _ask(feed.sources[i], synth);
            if (_counts(price, at, feed.maxAge)) readings[count++] = price;
        }
    }

    function _counts(uint256 price, uint256 at, uint256 maxAge) private view returns (bool) {
        return price != 0 && price <= type(uint128).max && at <= block.timestamp && block.timestamp - at <= maxAge;
    }

    /// @dev (0, 0) if the source reverts, has no code, uses up its gas or answers with less than two words. A longer
    /// answer is not copied.
    function _ask(IPriceSource source, address synth) private view returns (uint256 price, uint256 at) {
        if (gasleft() < SOURCE_GAS_LEFT) revert InsufficientGas();
        bytes memory asked = abi.encodeCall(IPriceSource.read, (synth));
        uint256 gasLimit = SOURCE_GAS;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let isAnswered := staticcall(gasLimit, source, add(asked, 32), mload(asked), 0, 64)
            if and(isAnswered, gt(returndatasize(), 63)) {
                price := mload(0)
                at := mload(32)
            }
        }
    }

    /// @dev Sorts the first `count` in place. Of an even number, the mean of the two in the middle.
    function _medianDown(uint256[] memory readings, uint256 count) private pure returns (uint256) {
        for (uint256 i = 1; i < count; ++i) {
            uint256 reading = readings[i];
            uint256 j = i;
            for (; j != 0 && readings[j - 1] > reading; --j) {
                readings[j] = readings[j - 1];
            }
            readings[j] = reading;
        }
        uint256 upper = readings[count / 2];
        return count % 2 == 1 ? upper : (readings[count / 2 - 1] + upper) / 2;
    }

    /* POSTERS */

    /// @dev Keeps the list of posters.
    function _grantRole(bytes32 role, address account) internal override returns (bool isGranted) {
        isGranted = super._grantRole(role, account);
        if (role != POSTER_ROLE || !isGranted) return isGranted;

        if (_posters.length == MAX_POSTERS) revert TooManyPosters();
        _posters.push(Poster(account, uint40(block.timestamp)));
    }

    /// @dev Keeps the list of posters.
    function _revokeRole(bytes32 role, address account) internal override returns (bool isRevoked) {
        isRevoked = super._revokeRole(role, account);
        if (role != POSTER_ROLE || !isRevoked) return isRevoked;

        uint256 place = _placeOf(account);
        _posters[place] = _posters[_posters.length - 1];
        _posters.pop();
    }

    /// @dev The number of posters if `account` is none.
    function _placeOf(address account) private view returns (uint256 place) {
        while (place < _posters.length && _posters[place].account != account) ++place;
    }

    /* VIEWS */

    /// @inheritdoc IPriceOracle
    function priceOf(address synth) external view returns (uint256 price, uint40 at, uint40 resumedAt, uint32 maxAge) {
        Accepted memory current = _accepted[synth];
        return (current.scaled >> SCALE_BITS, current.at, current.resumedAt, _feeds[synth].maxAge);
    }

    /// @inheritdoc IPriceOracle
    function feedOf(address synth) external view returns (Feed memory) {
        return _feeds[synth];
    }

    /// @inheritdoc IPriceOracle
    function medianOf(address synth) external view returns (uint256 median, uint8 readings) {
        (uint256[] memory found, uint256 count) = _readings(synth, _feeds[synth], _posters);
        return (count == 0 ? 0 : _medianDown(found, count), uint8(count));
    }

    /// @inheritdoc IPriceOracle
    function postOf(address poster, address synth) external view returns (uint256 price, uint40 at) {
        uint256 place = _placeOf(poster);
        Reading memory reading = _posts[poster][synth];
        if (place == _posters.length || reading.at < _posters[place].since) return (0, 0);
        return (reading.price, reading.at);
    }

    /// @inheritdoc IPriceOracle
    function posters() external view returns (address[] memory accounts) {
        accounts = new address[](_posters.length);
        for (uint256 i; i < accounts.length; ++i) {
            accounts[i] = _posters[i].account;
        }
    }
}
