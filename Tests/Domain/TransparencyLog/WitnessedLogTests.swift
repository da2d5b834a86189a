import Cryptography
import Encodings
import Testing
import TransparencyLog

/// A log in memory, of entries 0, 1, 2 …; a branch has other entries from some place on.
struct MemoryLog {
    static let origin = "node.example/log"

    let key: Ed25519.PrivateKey
    private(set) var tiles: [TilePath: [UInt8]] = [:]
    private(set) var size: UInt64 = 0
    var noteKey: NoteKey { get throws { try NoteKey(name: Self.origin, key: key.publicKey) } }

    init(key: Ed25519.PrivateKey) { self.key = key }

    func tile(_ level: Int, _ number: UInt64) -> [UInt8]? { tiles[TilePath(.hashes(level: level), number: number)] }

    mutating func append(_ count: Int, branch: UInt8 = 0) throws {
        let leaves = (0..<count).map { MerkleTree.leaf([branch] + Array("\(size + UInt64($0))".utf8)) }
        let change = try TiledTree.append(leaves, to: size, source: tile)
        for tile in change.tiles { tiles[TilePath(.hashes(level: tile.level), number: tile.number)] = tile.hashes }
        size = change.size
    }

    func note(at size: UInt64? = nil) throws -> SignedNote {
        let size = size ?? self.size
        let root = try TiledTree.root(size: size, source: tile)
        return try Checkpoint(origin: Self.origin, size: size, root: root).signed(by: key)
    }

    func request(from old: UInt64, to size: UInt64? = nil) throws -> AddCheckpoint {
        let size = size ?? self.size
        return AddCheckpoint(
            oldSize: old,
            proof: try TiledTree.consistencyProof(from: old, to: size, source: tile),
            checkpoint: try note(at: size)
        )
    }
}

@Suite("What a witness says to a checkpoint")
struct WitnessedLogTests {
    private let key: Ed25519.PrivateKey
    private var log: MemoryLog

    init() throws {
        key = try Ed25519.PrivateKey(seed: [UInt8](repeating: 4, count: 32))
        log = MemoryLog(key: key)
        try log.append(300)
    }

    private func refusal(_ witnessed: WitnessedLog, _ request: AddCheckpoint) -> WitnessRefusal? {
        do {
            _ = try witnessed.check(request)
            return nil
        } catch {
            return error
        }
    }

    @Test("[LOG-7] it follows what only grows, from nothing on, and says again what it said")
    func follows() throws {
        var log = log
        var witnessed = WitnessedLog(key: try log.noteKey)
        for count in [0, 1, 212, 3, 256, 1000] {
            try log.append(count)
            let request = try AddCheckpoint(try log.request(from: witnessed.size).string)
            let checkpoint = try witnessed.check(request)
            #expect(checkpoint.size == log.size)
            witnessed.latest = checkpoint
            #expect(try witnessed.check(log.request(from: log.size)) == checkpoint)
        }
    }

    @Test("[LOG-7] each refusal with its status, and a fork known for one by its two notes")
    func refuses() throws {
        var log = log
        var witnessed = WitnessedLog(key: try log.noteKey)
        witnessed.latest = try Checkpoint(text: log.note().text)
        // Another old size than the witness's: 409 with its own.
        #expect(refusal(witnessed, try log.request(from: 200))?.kind == .conflict(size: 300))
        #expect(refusal(witnessed, try log.request(from: 100, to: 200))?.kind == .conflict(size: 300))
        // Rewound and grown again on another branch.
        var branch = MemoryLog(key: key)
        try branch.append(299)
        try branch.append(1, branch: 1)
        let fork = try #require(refusal(witnessed, try branch.request(from: 300)))
        #expect(fork.kind == .conflict(size: 300) && fork.isFork && fork.status == 409)
        try branch.append(50)
        let later = try #require(refusal(witnessed, try branch.request(from: 300)))
        #expect(later.kind == .inconsistent && !later.isFork && later.status == 422)
        // Old larger than new; another log's key; unsigned; another name.
        try log.append(20)
        var request = try log.request(from: 300)
        request.oldSize = 321
        #expect(refusal(witnessed, request)?.status == 400)
        request = try log.request(from: 300)
        request.checkpoint = try SignedNote(text: request.checkpoint.text)
        #expect(refusal(witnessed, request)?.kind == .unsigned)
        let other = try Ed25519.PrivateKey(seed: [UInt8](repeating: 5, count: 32))
        request.checkpoint = try Checkpoint(text: request.checkpoint.text).signed(by: other)
        #expect(refusal(witnessed, request)?.kind == .unsigned)
        request.checkpoint = try Checkpoint(origin: "x", size: 1, root: MerkleTree.leaf([])).signed(by: key)
        #expect(refusal(witnessed, request)?.status == 400)
    }

    @Test(
        "each field of a request flipped is refused: old, every hash of the proof, the checkpoint's lines, its signature"
    )
    func flips() throws {
        var log = log
        var witnessed = WitnessedLog(key: try log.noteKey)
        witnessed.latest = try Checkpoint(text: log.note().text)
        try log.append(77)
        let good = try log.request(from: 300)
        #expect(refusal(witnessed, good) == nil && good.proof.count > 3)
        for index in good.proof.indices {
            var request = good
            request.proof[index][0] ^= 1
            #expect(refusal(witnessed, request)?.kind == .inconsistent)
            request = good
            request.proof.remove(at: index)
            #expect(refusal(witnessed, request)?.kind == .inconsistent)
        }
        let lines = good.checkpoint.string.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let kinds: [String?] = ["malformed", "unsigned", "unsigned", nil, "unsigned", nil]
        #expect(lines.count == kinds.count)
        for (index, line) in lines.enumerated() where !line.isEmpty {
            var changed = lines
            var bytes = Array(line.utf8)
            bytes[max(bytes.count - 4, 0)] ^= 1
            changed[index] = String(decoding: bytes, as: UTF8.self)
            let text =
                "old 300\n" + good.proof.map { Base64.encode($0) + "\n" }.joined() + "\n"
                + changed.joined(separator: "\n")
            let kind = try refusal(witnessed, AddCheckpoint(text)).map { "\($0.kind)" }
            #expect(kind == kinds[index], "\(changed[index])")
        }
    }

    @Test("hostile bodies are refused as they are read")
    func bodies() throws {
        let good = try log.request(from: 0).string
        for text in [
            "", "old\n\n", "old 01\n\n" + good, good.replacing("old 0", with: "old -1"),
            good.replacing("old 0\n", with: ""),
            "old 0\nAAAA\n\n" + (try log.note().string), good.replacing("\n\n", with: "\n"),
            "old 0\n" + String(repeating: Base64.encode(MerkleTree.emptyRoot) + "\n", count: 64) + "\n"
                + (try log.note().string), String(repeating: "a", count: AddCheckpoint.maximumBytes + 1),
        ] {
            #expect(throws: LogError.self, "\(text.prefix(60))") { try AddCheckpoint(text) }
        }
    }

    @Test("a consistency proof is made out of tiles that are fetched, each once, and wrong tiles don't make one")
    func fetching() async throws {
        var log = MemoryLog(key: key)
        try log.append(70_000)
        for old: UInt64 in [0, 1, 255, 256, 300, 65_536, 69_999, 70_000] {
            var fetched: [TilePath] = []
            let proof = try await TiledTree.consistencyProof(from: old, to: log.size) { path in
                fetched.append(path)
                guard case .hashes(let level) = path.kind else { return [] }
                return Array((log.tile(level, path.number) ?? []).prefix(32 * path.width))
            }
            #expect(try proof == TiledTree.consistencyProof(from: old, to: log.size, source: log.tile))
            #expect(Set(fetched).count == fetched.count && fetched.count <= 8)
            try MerkleTree.verifyConsistency(
                oldSize: old,
                oldRoot: TiledTree.root(size: old, source: log.tile),
                size: log.size,
                root: TiledTree.root(size: log.size, source: log.tile),
                proof: proof
            )
        }
        await #expect(throws: LogError.self) {
            _ = try await TiledTree.consistencyProof(from: 300, to: log.size) { _ in [1, 2, 3] }
        }
    }

    @Test("[LOG-9] what a witness saw too late, or whoever is no witness, does not count before an instant")
    func before() throws {
        var log = MemoryLog(key: key)
        try log.append(10)
        let witness = try Ed25519.PrivateKey(seed: [UInt8](repeating: 6, count: 32))
        let witnessKey = try NoteKey(name: "w", kind: .cosignature, key: witness.publicKey)
        var note = try log.note()
        note.add(try note.cosignature(by: witness, name: "w", secondsSince1970: 1_000))
        let proof = LogProof(
            index: 3,
            hashes: try TiledTree.inclusionProof(of: 3, size: 10, source: log.tile),
            checkpoint: note
        )
        let entry: [UInt8] = [0] + Array("3".utf8)
        func code(_ instant: UInt64?, _ witnesses: [NoteKey], quorum: Int = 0) throws -> LogError.Code? {
            let logKey = try log.noteKey
            do {
                try proof.verify(entry: entry, log: logKey, witnesses: witnesses, quorum: quorum, before: instant)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(try code(1_001, [witnessKey]) == nil)
        #expect(try code(1_000, [witnessKey]) == .witnessedTooLate)
        #expect(try code(1_001, []) == .witnessedTooLate)
        #expect(try code(1_001, [witnessKey], quorum: 2) == .tooFewWitnesses)
        #expect(try code(nil, []) == nil)
    }
}
