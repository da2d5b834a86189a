import CanonicalJSON
import Cryptography
import Ethereum
import TestSupport
import Testing

@Suite struct AddressTests {
    @Test func checksumsAreThoseOfEIP55() throws {
        for text in try vectors("eip-55").strings("addresses") {
            let address = try Address(text)
            #expect(address.description == text)
            #expect(try Address(text.lowercased()) == address)
            #expect(try Address("0x" + text.dropFirst(2).uppercased()) == address)
            #expect(try Address(bytes: address.bytes) == address)
        }
    }

    @Test func aMistypedCapitalIsFound() throws {
        let text = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
        var found = 0
        for index in text.indices.dropFirst(2) where text[index].isLetter {
            var changed = text
            let other = text[index].isUppercase ? text[index].lowercased() : text[index].uppercased()
            changed.replaceSubrange(index...index, with: other)
            #expect(code { _ = try Address(changed) } == .invalidAddress)
            found += 1
        }
        #expect(found > 10)
        let bad = [
            "", "0x", String(text.dropFirst(2)), String(text.dropLast()), text + "0", text.replacing("0x", with: "0X"),
            text.replacing("A", with: "g"),
        ]
        for text in bad { #expect(code { _ = try Address(text) } == .invalidAddress, "\(text)") }
        #expect(code { _ = try Address(bytes: [1, 2, 3]) } == .invalidAddress)
    }

    @Test func anAccountFollowsFromItsKey() throws {
        for vector in try vectors("eip-3009").array("cases") {
            let key = try EthereumKey(bytes: vector.hex("key"))
            #expect(try key.address.description == vector.string("from"))
            let secret = try vector.string("key").dropFirst(2)
            #expect(!"\(key)".contains(secret))
            #expect(Mirror(reflecting: key).children.isEmpty)
        }
        for bytes in [[], [UInt8](repeating: 0, count: 32), [UInt8](repeating: 0xFF, count: 32)] {
            #expect(code { _ = try EthereumKey(bytes: bytes) } == .invalidKey)
        }
    }
}
