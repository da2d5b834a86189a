import Cryptography
import Encodings
import Libp2p
import TestSupport
import Testing

/// The vectors of https://github.com/libp2p/specs, peer-ids/peer-ids.md, and of go-libp2p and go-multiaddr.
@Suite("Peer keys and peer ids")
struct PeerKeyTests {
    static let ed25519Private =
        "080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
    static let ed25519Public = "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
    static let secp256k1Private = "0802122053dadf1d5a164d6b4acdb15e24aa4c5b1d3461bdbd42abedb0a4404d56ced8fb"
    static let secp256k1Public = "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"

    static func code(_ work: () throws(Libp2pError) -> Void) -> Libp2pError.Code? {
        do {
            try work()
            return nil
        } catch {
            return error.code
        }
    }

    @Test(
        "The specification's keys, private and public",
        arguments: [(ed25519Private, ed25519Public), (secp256k1Private, secp256k1Public)]
    )
    func vectors(privateKey: String, publicKey: String) throws {
        let key = try PeerKey(protobuf: try Hex.decode(privateKey))
        #expect(Hex.encode(key.protobuf) == privateKey)
        #expect(Hex.encode(key.publicKey.protobuf) == publicKey)
        #expect(try PeerPublicKey(protobuf: try Hex.decode(publicKey)) == key.publicKey)
        #expect(key.peerID.publicKey == key.publicKey)
        let signature = try key.sign([1, 2, 3])
        #expect(key.publicKey.isValid(signature: signature, for: [1, 2, 3]))
        #expect(!key.publicKey.isValid(signature: signature, for: [1, 2, 4]))
        #expect(!"\(key)".contains(String(privateKey.suffix(64))))
    }

    @Test("A private key beside another one's public key is refused; the older form with two is read")
    func olderForm() throws {
        let bytes = try Hex.decode(Self.ed25519Private)
        let older: [UInt8] = [0x08, 0x01, 0x12, 0x60] + bytes.dropFirst(4) + bytes.suffix(32)
        #expect(try PeerKey(protobuf: older).protobuf == bytes)
        var wrong = older
        wrong[wrong.count - 1] ^= 1
        #expect(Self.code { () throws(Libp2pError) in _ = try PeerKey(protobuf: wrong) } == .invalidKey)
    }

    @Test("Keys of other kinds, not whole or not in their deterministic form are refused")
    func refused() throws {
        let good = try Hex.decode(Self.ed25519Public)
        func code(_ bytes: [UInt8]) -> Libp2pError.Code? {
            Self.code { () throws(Libp2pError) in _ = try PeerPublicKey(protobuf: bytes) }
        }
        #expect(code(good) == nil)
        #expect(code([]) == .malformed)
        #expect(code(Array(good.dropLast())) == .malformed)
        #expect(code(good + [0x08, 0x01]) == .tooLarge)
        // The same fields in the other order.
        #expect(code(Array(good.dropFirst(2)) + good.prefix(2)) == .malformed)
        // A varint that is longer than need be.
        #expect(code([0x08, 0x81, 0x00] + good.dropFirst(2)) == .malformed)
        #expect(code([0x08, 0x03] + good.dropFirst(2)) == .unsupported)
        #expect(code([0x08, 0x02] + good.dropFirst(2)) == .invalidKey)
        #expect(code([0x08, 0x01, 0x12, 0x20] + [UInt8](repeating: 0, count: 32)) == .invalidKey)
    }

    @Test("ECDSA signatures are strict DER with low s")
    func der() throws {
        let key = try PeerKey(protobuf: try Hex.decode(Self.secp256k1Private))
        var random = SeededRandom(seed: 6)
        for _ in 0..<64 {
            let message = random.bytes(20)
            let signature = try key.sign(message)
            #expect(signature[0] == 0x30 && signature.count <= 71)
            #expect(key.publicKey.isValid(signature: signature, for: message))
            #expect(!key.publicKey.isValid(signature: signature + [0], for: message))
            #expect(!key.publicKey.isValid(signature: Array(signature.dropLast()), for: message))
            var padded = signature
            padded.insert(0, at: 4)
            padded[1] += 1
            padded[3] += 1
            #expect(!key.publicKey.isValid(signature: padded, for: message))
        }
    }

    @Test("Peer ids in every spelling")
    func spellings() throws {
        // basis: the tests of aioipfs, which asks Kubo.
        let known = try PeerID(parsing: "12D3KooWD3bfmNbuuuVCYwkjnFt3ukm3qaB3hDED3peHHXawvRAi")
        #expect(known.base36 == "k51qzi5uqu5dhdmj65s7o239pk7w2knayz61k30js9t66wd6h82yw6iinitcuz")
        #expect(try PeerID(parsing: known.base36) == known)
        #expect(try PeerID(parsing: known.base32) == known)
        #expect(known.description == "12D3KooWD3bfmNbuuuVCYwkjnFt3ukm3qaB3hDED3peHHXawvRAi")
        // The same ids in go-multiaddr's list of good addresses.
        let qm = try PeerID(parsing: "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC")
        #expect(qm.base36 == "k2k4r8oqamigqdo6o7hsbfwd45y70oyynp98usk7zmyfrzpqxh1pohl7")
        #expect(qm.base32 == "bafzbeigvf25ytwc3akrijfecaotc74udrhcxzh2cx3we5qqnw5vgrei4bm")
        #expect(qm.publicKey == nil)
        let ed = try PeerID(parsing: "12D3KooWCryG7Mon9orvQxcS1rYZjotPgpwoJNHHKcLLfE4Hf5mV")
        #expect(ed.base36 == "k51qzi5uqu5dhb6l8spkdx7yxafegfkee5by8h7lmjh2ehc2sgg34z7c15vzqs")
        #expect(ed.base32 == "bafzaajaiaejcalj543iwv2d7pkjt7ykvefrkfu7qjfi6sduakhso4lay6abn2d5u")
        // The examples of the specification.
        #expect(
            try PeerID(parsing: "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe").description
                == "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
        )
        #expect(try PeerID(parsing: "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA").publicKey != nil)
        #expect(try PeerKey(protobuf: try Hex.decode(Self.secp256k1Private)).peerID.description.hasPrefix("16Uiu2"))
    }

    @Test(
        "What is no peer id",
        arguments: [
            "", "1", "Qm", "k", "b", "z", "QmxoHT6iViN5xAjoz1VZ553cL31U9F94ht3QvWR1FrEbZY", "12D3KooW",
            "bafybeigvf25ytwc3akrijfecaotc74udrhcxzh2cx3we5qqnw5vgrei4bm", "K51qzi5uqu5d", "ÄÖ",
            "12D3KooWD3bfmNbuuuVCYwkjnFt3ukm3qaB3hDED3peHHXawvRA0", String(repeating: "1", count: 400),
        ]
    )
    func notPeerIDs(text: String) {
        #expect(Self.code { () throws(Libp2pError) in _ = try PeerID(parsing: text) } == .malformed)
    }

    @Test("Random bytes crash nothing, and what is read is written the same")
    func random() throws {
        var random = SeededRandom(seed: 66)
        let good = try PeerKey(protobuf: try Hex.decode(Self.ed25519Private)).peerID.bytes
        for _ in 0..<5_000 {
            var bytes = random.next().isMultiple(of: 2) ? good : random.bytes(Int(random.next() % 50))
            for _ in 0..<(random.next() % 3) where !bytes.isEmpty {
                bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
            }
            guard let peer = try? PeerID(bytes: bytes) else { continue }
            #expect(peer.bytes == bytes)
            #expect(try PeerID(parsing: peer.description) == peer)
            #expect(try PeerID(parsing: peer.base36) == peer)
        }
    }
}
