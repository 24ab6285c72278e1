// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Order} from "../../contracts/interfaces/Types.sol";
import {AMM_MAKER_INDEX, Batch, BulkProof, Fill} from "./ReadableSettlement.sol";

/// @title From a batch in words to the packed one
library PackedBatch {
    /// @dev A record of a fill that names an order which is not there.
    uint256 internal constant NOBODY = 254;

    /// @return The batch with its orders ascending by (account, nonce), and its fills naming them there.
    function sorted(Batch memory batch) internal pure returns (Batch memory) {
        uint256 count = batch.orders.length;
        uint256[] memory places = new uint256[](count);
        for (uint256 i; i < count; ++i) {
            places[i] = i;
            for (uint256 j = i; j != 0 && _key(batch.orders[places[j]]) < _key(batch.orders[places[j - 1]]); --j) {
                (places[j], places[j - 1]) = (places[j - 1], places[j]);
            }
        }

        Batch memory result = Batch(
            batch.first, new Order[](count), new bytes[](count), new BulkProof[](count), batch.fills, batch.ammQuotes
        );
        uint16[] memory newPlace = new uint16[](count);
        for (uint256 i; i < count; ++i) {
            newPlace[places[i]] = uint16(i);
            result.orders[i] = batch.orders[places[i]];
            result.signatures[i] = batch.signatures[places[i]];
            result.proofs[i] = batch.proofs[places[i]];
        }
        result.fills = new Fill[](batch.fills.length);
        for (uint256 i; i < result.fills.length; ++i) {
            Fill memory fill = batch.fills[i];
            result.fills[i] = Fill(
                fill.maker < count ? newPlace[fill.maker] : fill.maker,
                fill.taker < count ? newPlace[fill.taker] : fill.taker,
                fill.sizeLots,
                fill.makerFeePpm,
                fill.takerFeePpm
            );
        }
        return result;
    }

    /// @param batch Sorted.
    function pack(Batch memory batch, address feeAccount) internal pure returns (bytes memory packed) {
        Order[] memory orders = batch.orders;
        uint256[] memory accounts = new uint256[](0);
        uint256[] memory markets = new uint256[](0);
        if (orders.length != 0) accounts = _with(accounts, uint160(feeAccount));
        uint256 proofs;
        for (uint256 i; i < orders.length; ++i) {
            accounts = _with(accounts, uint160(orders[i].account));
            markets = _with(markets, orders[i].market);
            if (batch.proofs[i].isBulk) ++proofs;
        }

        packed = abi.encodePacked(
            batch.first, uint8(markets.length), uint8(accounts.length), uint8(orders.length), uint8(proofs)
        );
        packed = abi.encodePacked(
            packed,
            uint8(batch.fills.length),
            uint8(batch.ammQuotes.length),
            uint8(orders.length == 0 ? 0 : _indexOf(accounts, uint160(feeAccount)))
        );
        for (uint256 i; i < markets.length; ++i) {
            packed = abi.encodePacked(packed, uint32(markets[i]));
        }
        for (uint256 i; i < accounts.length; ++i) {
            packed = abi.encodePacked(packed, uint160(accounts[i]));
        }
        return abi.encodePacked(packed, _orders(batch, accounts, markets), _proofs(batch), _fills(batch));
    }

    function _orders(Batch memory batch, uint256[] memory accounts, uint256[] memory markets)
        private
        pure
        returns (bytes memory packed)
    {
        for (uint256 i; i < batch.orders.length; ++i) {
            Order memory order = batch.orders[i];
            uint8 terms = order.side | order.kind << 1 | order.timeInForce << 2 | (batch.proofs[i].isBulk ? 16 : 0);
            packed = abi.encodePacked(
                packed,
                uint8(_indexOf(accounts, uint160(order.account))),
                uint8(_indexOf(markets, order.market)),
                order.subaccount,
                terms,
                order.flags
            );
            packed = abi.encodePacked(packed, order.priceTicks, order.sizeLots, order.triggerTicks);
            packed = abi.encodePacked(packed, order.maxFeePpm, order.nonce, order.expiry);
            packed = abi.encodePacked(packed, compact(batch.signatures[i]));
        }
    }

    function _proofs(Batch memory batch) private pure returns (bytes memory packed) {
        for (uint256 i; i < batch.orders.length; ++i) {
            BulkProof memory proof = batch.proofs[i];
            if (proof.isBulk) packed = abi.encodePacked(packed, proof.position, abi.encode(proof.siblings));
        }
    }

    function _fills(Batch memory batch) private pure returns (bytes memory packed) {
        uint256 count = batch.orders.length;
        for (uint256 i; i < batch.fills.length; ++i) {
            Fill memory fill = batch.fills[i];
            packed = abi.encodePacked(
                packed,
                uint8(fill.maker < count ? fill.maker : fill.maker == AMM_MAKER_INDEX ? 255 : NOBODY),
                uint8(fill.taker < count ? fill.taker : NOBODY),
                fill.sizeLots,
                int24(fill.makerFeePpm),
                int24(fill.takerFeePpm)
            );
        }
        for (uint256 i; i < batch.ammQuotes.length; ++i) {
            packed = abi.encodePacked(packed, batch.ammQuotes[i]);
        }
    }

    /// @return r || vs of a signature r || s || v.
    function compact(bytes memory signature) internal pure returns (bytes memory) {
        require(signature.length == 65, "65 bytes");
        (bytes32 r, uint256 s, uint8 v) = (bytes32(0), 0, uint8(signature[64]));
        assembly ("memory-safe") {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
        }
        require(s >> 255 == 0 && (v == 27 || v == 28), "not canonical");
        return abi.encodePacked(r, s | uint256(v - 27) << 255);
    }

    function _key(Order memory order) private pure returns (uint256) {
        return uint256(uint160(order.account)) << 64 | order.nonce;
    }

    /// @return The ascending `values` with `value` among them.
    function _with(uint256[] memory values, uint256 value) private pure returns (uint256[] memory) {
        uint256 place;
        while (place < values.length && values[place] < value) ++place;
        if (place < values.length && values[place] == value) return values;
        uint256[] memory more = new uint256[](values.length + 1);
        for (uint256 i; i < more.length; ++i) {
            more[i] = i < place ? values[i] : i == place ? value : values[i - 1];
        }
        return more;
    }

    function _indexOf(uint256[] memory values, uint256 value) private pure returns (uint256 index) {
        while (values[index] != value) ++index;
    }
}
