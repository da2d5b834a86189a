import CanonicalJSON
import Cryptography
import Ethereum
import TestSupport
import Testing

@Suite struct TypedDataTests {
    private func person(_ name: String, _ wallet: String) throws -> TypedStruct {
        TypedStruct("Person", [.init("name", .string(name)), .init("wallet", .address(try Address(wallet)))])
    }

    @Test func theMailOfEIP712() throws {
        let vector = try vectors("eip-712")
        let mail = TypedStruct(
            "Mail",
            [
                .init("from", .structure(try person("Cow", "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"))),
                .init("to", .structure(try person("Bob", "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"))),
                .init("contents", .string("Hello, Bob!")),
            ]
        )
        let domain = TypedDataDomain(
            name: "Ether Mail",
            version: "1",
            chainID: UInt256(1),
            verifyingContract: try Address("0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC")
        )
        #expect(try mail.encodedType == vector.string("encodedType"))
        #expect(try mail.typeHash == vector.hex("typeHash"))
        #expect(try mail.hash == vector.hex("structHash"))
        #expect(try domain.separator == vector.hex("separator"))
        #expect(try domain.digest(of: mail) == vector.hex("digest"))
        let key = try EthereumKey(bytes: Keccak256.hash(Array("cow".utf8)))
        #expect(try key.address == vector.address("signer"))
        #expect(try key.sign(digest: domain.digest(of: mail)).bytes == vector.hex("signature"))
    }

    /// With `httpOrigin`, which no domain of ours has: written as the structure that it is.
    @Test func theMailOfEIP712InItsLongerDomain() throws {
        let domain = TypedStruct(
            "EIP712Domain",
            [
                .init("name", .string("Ether Mail")), .init("version", .string("1")),
                .init("chainId", .uint256(UInt256(1))), .init("httpOrigin", .string("https://ether-mail.eth")),
                .init("verifyingContract", .address(try Address("0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC"))),
            ]
        )
        #expect(
            EthereumHex.text(domain.hash) == "0x0b72c8f1f2c3bf8bcca4c3cc24cd47275f9261a5b0bcf7b9bd803419b303a1a9"
        )
    }

    @Test func authorizationsAreThoseOfEthAccount() throws {
        for vector in try vectors("eip-3009").array("cases") {
            let key = try EthereumKey(bytes: vector.hex("key"))
            let token = AuthorizedToken(
                contract: try vector.address("contract"),
                chainID: try vector.number("chainId"),
                name: try vector.string("name"),
                version: try vector.string("version")
            )
            let authorization = try TransferAuthorization(
                from: vector.address("from"),
                to: vector.address("to"),
                value: vector.number("value"),
                validAfter: vector.number("validAfter"),
                validBefore: vector.number("validBefore"),
                nonce: vector.hex("nonce")
            )
            #expect(try token.domain.separator == vector.hex("separator"))
            #expect(try authorization.digest(for: token) == vector.hex("digest"))
            let signature = authorization.sign(for: token, key: key)
            #expect(try signature.bytes == vector.hex("signature"))
            #expect(authorization.isSigned(signature, for: token))
            #expect(try authorization.callData(signature: signature) == vector.hex("callVRS"))
            #expect(try authorization.callData(signatureBytes: signature.bytes) == vector.hex("callBytes"))
            let parsed = try TransferAuthorization.parse(callData: vector.hex("callVRS"))
            #expect(parsed.authorization == authorization)
            #expect(parsed.signature == signature)
            let cancel = try CancelAuthorization(authorizer: key.address, nonce: vector.hex("nonce"))
            #expect(try cancel.digest(for: token) == vector.hex("cancelDigest"))
            let cancelling = key.sign(digest: cancel.digest(for: token))
            #expect(try cancel.callData(signature: cancelling) == vector.hex("callCancel"))
        }
    }

    @Test func everyFieldIsSigned() throws {
        var random = SeededRandom(seed: 3009)
        let key = try EthereumKey(bytes: random.bytes(32))
        let token = AuthorizedToken(
            contract: try Address(bytes: random.bytes(20)),
            chainID: UInt256(84532),
            name: "USDC",
            version: "2"
        )
        let to = try Address(bytes: random.bytes(20))
        func authorization(
            from: Address? = nil,
            to other: Address? = nil,
            value: UInt64 = 10_000,
            after: UInt64 = 100,
            before: UInt64 = 200,
            nonce: UInt8 = 7
        ) throws -> TransferAuthorization {
            try TransferAuthorization(
                from: from ?? key.address,
                to: other ?? to,
                value: UInt256(value),
                validAfter: UInt256(after),
                validBefore: UInt256(before),
                nonce: [UInt8](repeating: nonce, count: 32)
            )
        }
        let original = try authorization()
        let signature = original.sign(for: token, key: key)
        #expect(original.isSigned(signature, for: token))
        let changed = try [
            authorization(from: to), authorization(to: key.address), authorization(value: 10_001),
            authorization(after: 101), authorization(before: 201), authorization(nonce: 8),
        ]
        for other in changed { #expect(!other.isSigned(signature, for: token)) }
        for change in 0..<4 {
            var other = token
            switch change {
            case 0: other.contract = to
            case 1: other.chainID = UInt256(8453)
            case 2: other.name = "USD Coin"
            default: other.version = "1"
            }
            #expect(!original.isSigned(signature, for: other))
        }
        // The contract's window is open at both ends.
        for (second, isInTime) in [(99, false), (100, false), (101, true), (199, true), (200, false)] {
            #expect(original.isInTime(secondsSince1970: UInt64(second)) == isInTime)
        }
        #expect(throws: EthereumError.self) { try CancelAuthorization(authorizer: to, nonce: [1]) }
        #expect(throws: EthereumError.self) {
            try TransferAuthorization(
                from: to,
                to: to,
                value: .zero,
                validAfter: .zero,
                validBefore: .zero,
                nonce: [UInt8](repeating: 1, count: 31)
            )
        }
    }
}
