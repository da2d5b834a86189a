import Cryptography
import Encodings
import FieldSweeps
import Testing
import TransparencyLog

/// Every line of a checkpoint's note, its log's signature and its witness's cosignature flipped and taken out: refused, and
/// why.
@Suite("every field of a checkpoint")
struct CheckpointSweepTests {
    private let logKey: Ed25519.PrivateKey
    private let log: NoteKey
    private let witness: NoteKey
    private let note: SignedNote

    init() throws {
        logKey = try Ed25519.PrivateKey(seed: [UInt8](repeating: 1, count: 32))
        let witnessKey = try Ed25519.PrivateKey(seed: [UInt8](repeating: 2, count: 32))
        log = try NoteKey(name: "node.example/log", key: logKey.publicKey)
        witness = try NoteKey(name: "witness.example", kind: .cosignature, key: witnessKey.publicKey)
        var note = try Checkpoint(origin: log.name, size: 3, root: [UInt8](repeating: 7, count: 32)).signed(by: logKey)
        note.add(try note.cosignature(by: witnessKey, name: witness.name, secondsSince1970: 1_700_000_000))
        self.note = note
    }

    private func word(_ text: String) -> String {
        do throws(LogError) {
            _ = try Checkpoint.verify(try SignedNote(text), log: log, witnesses: [witness], quorum: 1)
            return "valid"
        } catch {
            return error.code.rawValue
        }
    }

    /// The fields of the note, in their order; of a signature's line the name, and of its bytes each part.
    private struct Fields {
        var values: [(name: String, bytes: [UInt8])]

        func text(without left: Int? = nil, flipping flipped: Int? = nil) -> String {
            var shown: [String: [UInt8]] = [:]
            for (index, field) in values.enumerated() where index != left {
                var bytes = field.bytes
                if index == flipped, let last = bytes.indices.last { bytes[last] ^= 1 }
                shown[field.name] = bytes
            }
            func line(_ name: String) -> String {
                shown[name].map { String(decoding: $0, as: UTF8.self) + "\n" } ?? ""
            }
            func signature(_ name: String) -> String {
                let parts = ["id", "time", "signature"].compactMap { shown["\(name).\($0)"] }.flatMap { $0 }
                let title = shown["\(name).name"].map { String(decoding: $0, as: UTF8.self) } ?? ""
                return "\u{2014} \(title) \(Base64.encode(parts))\n"
            }
            let root = shown["root"].map { Base64.encode($0) + "\n" } ?? ""
            return line("origin") + line("size") + root + "\n" + signature("log") + signature("witness")
        }
    }

    @Test("[LOG-5] [LOG-7] origin, size, root, and of both signatures the name, the key's id, the time and the bytes")
    func fields() throws {
        let (own, theirs) = (note.signatures[0], note.signatures[1])
        let fields = Fields(values: [
            ("origin", Array(log.name.utf8)), ("size", Array("3".utf8)), ("root", [UInt8](repeating: 7, count: 32)),
            ("log.name", Array(own.name.utf8)), ("log.id", own.keyID), ("log.signature", own.bytes),
            ("witness.name", Array(theirs.name.utf8)), ("witness.id", theirs.keyID),
            ("witness.time", Array(theirs.bytes.prefix(8))), ("witness.signature", Array(theirs.bytes.dropFirst(8))),
        ])
        // Put together again it is the note: nothing of it is left out here.
        #expect(fields.text() == note.string && word(fields.text()) == "valid")
        let found = fields.values.indices.map { index in
            (
                place: fields.values[index].name,
                outcome: FieldTable.Outcome(
                    changed: word(fields.text(flipping: index)),
                    removed: word(fields.text(without: index))
                )
            )
        }
        let differences = Self.table.differences(found)
        #expect(differences.isEmpty, "\(differences)")
        // A line more in the text: another text than the one signed.
        #expect(word(note.string.replacing("\n\n", with: "\nextension\n\n")) == "bad-signature")
        // Without the witness's line, and without any.
        let lines = note.string.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(word(lines.dropLast(2).joined(separator: "\n") + "\n") == "too-few-witnesses")
        #expect(word(note.text + "\n") == "malformed")
        // The witness alone.
        #expect(word(note.text + "\n" + theirs.line) == "unsigned")
    }

    @Test("[LOG-5] signed anew by the log: another log's name is refused, a tree of no entries has one root")
    func resigned() throws {
        func word(_ origin: String, _ size: UInt64, _ root: [UInt8]) throws -> String {
            let head = Checkpoint(origin: origin, size: size, root: root)
            var signed = try SignedNote(text: head.text)
            try signed.sign(by: logKey, name: log.name)
            do throws(LogError) {
                _ = try Checkpoint.verify(try SignedNote(signed.string), log: log)
                return "valid"
            } catch {
                return error.code.rawValue
            }
        }
        let root = [UInt8](repeating: 7, count: 32)
        #expect(try word(log.name, 4, root) == "valid")
        #expect(try word("other.example/log", 3, root) == "wrong-origin")
        #expect(try word(log.name, 0, root) == "malformed")
        #expect(try word(log.name, 1 << 63, root) == "malformed")
        #expect(try word(log.name, 3, Array(root.dropLast())) == "malformed")
    }

    private static let table = FieldTable(
        """
        origin wrong-origin malformed
        size bad-signature malformed
        root bad-signature malformed
        log.name unsigned malformed
        log.id unsigned
        log.signature bad-signature malformed
        witness.name too-few-witnesses malformed
        witness.id too-few-witnesses
        witness.time bad-signature
        witness.signature bad-signature
        """
    )
}
