import Ethereum
import TestSupport
import Testing

@Suite struct ABITests {
    /// Solidity's contract ABI specification, "Examples".
    @Test func selectorsAndCallsOfTheSpecification() throws {
        #expect(EthereumHex.text(ABI.selector("baz(uint32,bool)")) == "0xcdcd77c0")
        #expect(EthereumHex.text(ABI.selector("balanceOf(address)")) == "0x70a08231")
        #expect(EthereumHex.text(ABI.selector("authorizationState(address,bytes32)")) == "0xe94a0102")
        #expect(
            EthereumHex.text(
                ABI.selector(
                    "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
                )
            ) == "0xe3ee160e"
        )
        #expect(
            EthereumHex.text(
                ABI.selector("transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)")
            ) == "0xcf092995"
        )
        let holder = try Address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
        #expect(
            EthereumHex.text(TokenCalls.balance(of: holder))
                == "0x70a08231" + String(repeating: "0", count: 24) + "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
        )
        #expect(
            EthereumHex.text(TokenCalls.authorizationUsedTopic)
                == "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5"
        )
    }

    @Test func tailsFollowTheHeads() {
        let data = ABI.encode([.bytes([1, 2, 3]), .bool(true), .bytes([])])
        let words = stride(from: 0, to: data.count, by: 32).map { Array(data[$0..<$0 + 32]) }
        #expect(words.map { $0.last } == [0x60, 1, 0xA0, 3, 0, 0])
        #expect(words[4] == [1, 2, 3] + [UInt8](repeating: 0, count: 29))
    }

    @Test func answersAreStrict() throws {
        #expect(try ABI.uint256(UInt256.max.word) == .max)
        #expect(try ABI.bool(UInt256(1).word))
        #expect(try !ABI.bool(UInt256(0).word))
        #expect(code { _ = try ABI.bool(UInt256(2).word) } == .invalidABI)
        for data in [[], [UInt8](repeating: 0, count: 31), [UInt8](repeating: 0, count: 64)] {
            #expect(code { _ = try ABI.uint256(data) } == .invalidABI)
        }
        #expect(code { _ = try ABI.address(word: UInt256.max.word) } == .invalidABI)
        let text = Array("USD Coin".utf8)
        let answer = UInt256(32).word + UInt256(8).word + text + [UInt8](repeating: 0, count: 24)
        #expect(try ABI.string(answer) == "USD Coin")
        #expect(try ABI.string(UInt256(32).word + UInt256(0).word) == "")
        var dirty = answer
        dirty[95] = 1
        var far = answer
        far[31] = 64
        var long = answer
        long[32] = 1
        var broken = answer
        broken[64] = 0xFF
        for data in [[], dirty, far, long, broken, answer + [0], Array(answer.dropLast(32))] {
            #expect(code { _ = try ABI.string(data) } == .invalidABI)
        }
        #expect(code { _ = try ABI.string(answer, maximumBytes: 7) } == .invalidABI)
    }
}
