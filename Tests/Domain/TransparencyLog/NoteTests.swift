import Cryptography
import Encodings
import Foundation
import TestSupport
import Testing
import TransparencyLog

@Suite struct NoteTests {
    private let logKey: Ed25519.PrivateKey
    private let witnessKey: Ed25519.PrivateKey
    private let log: NoteKey
    private let witness: NoteKey
    private let head = Checkpoint(origin: "node.example/log", size: 3, root: [UInt8](repeating: 7, count: 32))

    init() throws {
        logKey = try Ed25519.PrivateKey(seed: [UInt8](repeating: 1, count: 32))
        witnessKey = try Ed25519.PrivateKey(seed: [UInt8](repeating: 2, count: 32))
        log = try NoteKey(name: "node.example/log", key: logKey.publicKey)
        witness = try NoteKey(name: "witness.example", kind: .cosignature, key: witnessKey.publicKey)
    }

    private func code(_ work: () throws -> Void) -> LogError.Code? {
        do {
            try work()
            return nil
        } catch {
            return (error as? LogError)?.code
        }
    }

    @Test("The example of C2SP signed-note verifies, and is written as it stands there")
    func published() throws {
        let key = try NoteKey(vkey: "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
        let text = """
            This is an example message.

            \u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=

            """
        let note = try SignedNote(text)
        #expect(note.text == "This is an example message.\n")
        #expect(note.string == text)
        #expect(try note.verified(by: [key]).map(\.key) == [key])
        #expect(key.description == "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
        let other = try SignedNote(text.replacing("an example", with: "no example"))
        #expect(code { _ = try other.verified(by: [key]) } == .badSignature)
        // A key that is not asked for is passed over, whatever it has signed.
        #expect(try other.verified(by: [log]).isEmpty)
    }

    @Test("A text may hold empty lines; what is no note is refused")
    func forms() throws {
        var note = try SignedNote(text: "one\n\ntwo\n")
        try note.sign(by: logKey, name: log.name)
        #expect(try SignedNote(note.string) == note)
        let good = try SignedNote(head.signed(by: logKey).string)
        #expect(try Checkpoint(text: good.text) == head)
        for bad in [
            "", "\n", "text\n", "text\n\n", note.text + "\n", String(note.string.dropLast()),
            note.string.replacing("\u{2014} ", with: "- "), note.string.replacing("\n\u{2014}", with: "\u{2014}"),
            "a\tb\n\n" + note.string.split(separator: "\n").last! + "\n",
            note.string + String(repeating: "x", count: SignedNote.maximumBytes),
        ] {
            #expect(code { _ = try SignedNote(bad) } == .malformed, "\(bad.prefix(60))")
        }
        for bad in [
            "a\n1\n", "\n1\n\(Base64.encode(head.root))\n", "a\n01\n\(Base64.encode(head.root))\n",
            "a\n-1\n\(Base64.encode(head.root))\n", "a\n9223372036854775808\n\(Base64.encode(head.root))\n",
            "a\n1\nAAAA\n", "a\n1\n\(Base64.encode(head.root))\n\n", "a\n0\n\(Base64.encode(head.root))\n",
        ] {
            #expect(code { _ = try Checkpoint(text: bad) } == .malformed, "\(bad)")
        }
        for bad in [
            "", "a+b", "node.example/log+00000000+" + Base64.encode([1] + log.key.bytes),
            "node.example/log+\(Hex.encode(log.id))+" + Base64.encode([9] + log.key.bytes),
            " +\(Hex.encode(log.id))+" + Base64.encode([1] + log.key.bytes),
        ] {
            #expect(code { _ = try NoteKey(vkey: bad) } == .malformed, "\(bad)")
        }
    }

    @Test("A checkpoint counts with the signatures of the log that is expected and of as many witnesses as asked")
    func checkpoints() throws {
        var note = try head.signed(by: logKey)
        #expect(try Checkpoint.verify(note, log: log) == head)
        #expect(code { _ = try Checkpoint.verify(note, log: log, witnesses: [witness], quorum: 1) } == .tooFewWitnesses)
        note.add(try note.cosignature(by: witnessKey, name: witness.name, secondsSince1970: 1_700_000_000))
        let again = try SignedNote(note.string)
        #expect(try Checkpoint.verify(again, log: log, witnesses: [witness], quorum: 1) == head)
        #expect(try again.verified(by: [witness]).map(\.secondsSince1970) == [1_700_000_000])

        let stranger = try Ed25519.PrivateKey(seed: [UInt8](repeating: 3, count: 32))
        #expect(code { _ = try Checkpoint.verify(head.signed(by: stranger), log: log) } == .unsigned)
        let elsewhere = try NoteKey(name: "other.example/log", key: logKey.publicKey)
        #expect(code { _ = try Checkpoint.verify(note, log: elsewhere) } == .wrongOrigin)
        // A witness's signature is no log's, though the key were the same.
        var alone = try SignedNote(text: head.text)
        alone.add(try alone.cosignature(by: logKey, name: log.name, secondsSince1970: 1))
        #expect(code { _ = try Checkpoint.verify(alone, log: log) } == .unsigned)
        // Another time than the one that was signed.
        var signature = try note.cosignature(by: witnessKey, name: witness.name, secondsSince1970: 5)
        signature.bytes[7] ^= 1
        var forged = try head.signed(by: logKey)
        forged.add(signature)
        #expect(code { _ = try Checkpoint.verify(forged, log: log, witnesses: [witness]) } == .badSignature)
        #expect(try Checkpoint.verify(forged, log: log) == head)
    }

    @Test("A proof is checked with the log's key alone; with any character changed it is refused")
    func proofs() throws {
        let documents = (0..<300).map { Array("document \($0)".utf8) }
        let salted = try documents.map { try SaltedEntry(salt: [UInt8](repeating: 9, count: 16), document: $0) }
        var shelf = TileShelf()
        try shelf.append(salted.map { MerkleTree.leaf($0.entry) })
        let head = Checkpoint(
            origin: log.name,
            size: shelf.size,
            root: try TiledTree.root(size: shelf.size, source: shelf.source)
        )
        let proof = LogProof(
            extra: salted[123].salt,
            index: 123,
            hashes: try TiledTree.inclusionProof(of: 123, size: 300, source: shelf.source),
            checkpoint: try head.signed(by: logKey)
        )
        let text = proof.string
        let read = try LogProof(text)
        #expect(read == proof)
        #expect(try read.verify(entry: salted[123].entry, log: log) == head)
        #expect(code { try read.verify(entry: salted[124].entry, log: log) } == .notIncluded)

        var characters = Array(text.unicodeScalars)
        // The salt is not the log's: whoever changes it finds another entry.
        let start = text.unicodeScalars.count - text[text.range(of: "index")!.lowerBound...].unicodeScalars.count
        // By the line that it stands in, after the heading and the salt: what the change can come to.
        let hashes: [Set<LogError.Code>] = Array(
            repeating: [.malformed, .notIncluded],
            count: proof.hashes.count
        )
        let expected: [Set<LogError.Code>] =
            [[.malformed, .notIncluded, .outOfRange]] + hashes + [
                [.malformed], [.malformed, .wrongOrigin], [.malformed, .badSignature], [.malformed, .badSignature],
                [.malformed], [.malformed, .unsigned, .badSignature],
            ]
        var line = 0
        for index in start..<characters.count {
            let kept = characters[index]
            characters[index] = kept == "A" ? "B" : "A"
            let changed = String(String.UnicodeScalarView(characters))
            let found = code { try LogProof(changed).verify(entry: salted[123].entry, log: log) }
            #expect(found.map(expected[line].contains) == true, "character \(index), line \(line): \(found as Any)")
            characters[index] = kept
            if kept == "\n" { line += 1 }
        }
        #expect(line == expected.count)
        for bad in ["", "c2sp.org/tlog-proof@v1\n", text.replacing("index 123", with: "index 0123"), "x" + text] {
            #expect(code { _ = try LogProof(bad) } == .malformed, "\(bad.prefix(50))")
        }
        #expect(code { _ = try SaltedEntry(salt: [1], document: []) } == .malformed)
    }

    @Test("A tile's path has one way to be written")
    func paths() throws {
        for (path, text) in [
            (TilePath(.hashes(level: 0), number: 0), "tile/0/000"),
            (TilePath(.hashes(level: 1), number: 1_234_067), "tile/1/x001/x234/067"),
            (TilePath(.hashes(level: 2), number: 1000, width: 1), "tile/2/x001/000.p/1"),
            (TilePath(.entries, number: 273, width: 112), "tile/entries/273.p/112"),
        ] {
            #expect(path.description == text)
            #expect(try TilePath(afterTile: String(text.dropFirst(5))) == path)
        }
        for bad in [
            "", "0", "0/", "0/1", "0/0000", "00/000", "8/000", "x/000", "0/x000/000", "0/000/000", "0/x001/x234/67",
            "0/000.p/0", "0/000.p/256", "0/000.p/01", "0/000.p/", "0/000.p", "0/-01", "0/000/", "0/x001/000.q/1",
            "entries/x001/x001/x001/x001/x001/x001/001", "0/\u{0661}\u{0661}\u{0661}", "entries/000.p/1/2",
        ] {
            #expect(code { _ = try TilePath(afterTile: bad) } == .malformed, "\(bad)")
        }
        let entries: [[UInt8]] = [[], [1, 2, 3], [UInt8](repeating: 5, count: 300)]
        let bundle = try EntryBundle.encode(entries)
        #expect(try EntryBundle.decode(bundle) == entries)
        for length in 1..<bundle.count where length != 2 && length != 7 {
            #expect(code { _ = try EntryBundle.decode(Array(bundle.prefix(length))) } == .malformed)
        }
        #expect(code { _ = try EntryBundle.encode([[UInt8](repeating: 0, count: 65_536)]) } == .malformed)
        #expect(code { _ = try EntryBundle.decode([UInt8](repeating: 0, count: 514)) } == .malformed)
    }
}
