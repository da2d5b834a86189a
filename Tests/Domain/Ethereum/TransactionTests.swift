import CanonicalJSON
import Cryptography
import Ethereum
import TestSupport
import Testing

@Suite struct TransactionTests {
    private func transaction(_ vector: JSONValue) throws -> FeeMarketTransaction {
        FeeMarketTransaction(
            chainID: try vector.number("chainId"),
            nonce: try #require(try vector.number("nonce").uint64Value),
            maximumPriorityFeePerGas: try vector.number("maxPriorityFeePerGas"),
            maximumFeePerGas: try vector.number("maxFeePerGas"),
            gasLimit: try #require(try vector.number("gas").uint64Value),
            to: try vector.address("to"),
            value: try vector.number("value"),
            data: try vector.hex("data")
        )
    }

    @Test func transactionsAreThoseOfEthAccount() throws {
        for vector in try vectors("eip-1559").array("cases") {
            let key = try EthereumKey(bytes: vector.hex("key"))
            let signed = try transaction(vector).signed(by: key)
            #expect(try signed.raw == vector.hex("raw"))
            #expect(try signed.hash == vector.hex("hash"))
            let read = try SignedTransaction(raw: signed.raw)
            #expect(read == signed)
            #expect(read.sender == key.address)
        }
    }

    @Test func damagedOnesAreRefusedOrAnotherSenders() throws {
        let vector = try vectors("eip-1559").array("cases")[3]
        let signed = try transaction(vector).signed(by: EthereumKey(bytes: vector.hex("key")))
        for index in signed.raw.indices {
            var changed = signed.raw
            changed[index] ^= 1
            guard let read = try? SignedTransaction(raw: changed) else { continue }
            #expect(read.sender != signed.sender)
            #expect(read.raw == changed)
        }
        #expect(code { _ = try SignedTransaction(raw: [0x02]) } == .invalidRLP)
        #expect(code { _ = try SignedTransaction(raw: []) } == .invalidTransaction)
        #expect(code { _ = try SignedTransaction(raw: [0x01] + signed.raw.dropFirst()) } == .invalidTransaction)
        #expect(code { _ = try SignedTransaction(raw: signed.raw + [0]) } == .invalidRLP)
    }

    @Test func fieldsOutOfBoundsAreRefused() throws {
        let vector = try vectors("eip-1559").array("cases")[3]
        let signed = try transaction(vector).signed(by: EthereumKey(bytes: vector.hex("key")))
        let fields = try RLP.decode(Array(signed.raw.dropFirst())).requireList()
        func changed(_ index: Int, _ item: RLP.Item) -> [UInt8] {
            var fields = fields
            fields[index] = item
            return [0x02] + RLP.encode(.list(fields))
        }
        #expect(try SignedTransaction(raw: changed(0, fields[0])) == signed)
        let bad: [[UInt8]] = [
            changed(1, .number(.max)), changed(2, .number(.max)), changed(4, .number(.max)), changed(5, .bytes([])),
            changed(8, .list([.list([])])), changed(9, .number(UInt256(2))), changed(9, .number(UInt256(300))),
            changed(10, .number(.zero)),
            changed(11, .number(.max)), changed(1, .bytes([0])), changed(7, .list([])),
            [0x02] + RLP.encode(.list(fields + [.bytes([])])), [0x02] + RLP.encode(.list(Array(fields.dropLast()))),
        ]
        for raw in bad { #expect(throws: EthereumError.self) { try SignedTransaction(raw: raw) } }
    }

    @Test func signaturesHaveNoTwin() throws {
        let vector = try vectors("eip-3009").array("cases")[0]
        let bytes = try vector.hex("signature")
        let signature = try EthereumSignature(bytes: bytes)
        #expect(signature.bytes == bytes)
        let high = try Secp256k1.Scalar(bytes: signature.s).negated().bytes
        #expect(code { _ = try EthereumSignature(r: signature.r, s: high, v: 55 - signature.v) } == .invalidSignature)
        #expect(try EthereumSignature(bytes: signature.r + signature.s + [signature.v - 27]) == signature)
        let zero = [UInt8](repeating: 0, count: 32)
        #expect(code { _ = try EthereumSignature(r: zero, s: zero, v: 27).signer(digest: high) } == .invalidSignature)
        for v: UInt8 in [2, 26, 29, 255] {
            #expect(code { _ = try EthereumSignature(bytes: signature.r + signature.s + [v]) } == .invalidSignature)
        }
        for bytes in [[], Array(bytes.dropLast()), bytes + [0]] {
            #expect(code { _ = try EthereumSignature(bytes: bytes) } == .invalidSignature)
        }
    }
}
