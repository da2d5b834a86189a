import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import TransparencyLog

/// Reads a whole transparency log over HTTP or from a folder (C2SP tlog-tiles) and works its tree out anew.
struct LogReader {
    /// What a log was found to be.
    struct Finding {
        var checkpoint: Checkpoint
        var note: SignedNote
        var key: NoteKey
        /// Whether the key was the log's own word.
        var isKeyOnlyTold: Bool
        /// The size of the checkpoint that it was held against, where one was given.
        var beginsWith: UInt64?
        /// Where the entry that was looked for stands.
        var index: UInt64?
    }

    /// Whose cosignatures the checkpoint must have.
    struct Quorum {
        var witnesses: [NoteKey] = []
        var count = 0
    }

    /// Bundles fetched at once.
    private static let window = 8
    private static let timeoutSeconds: Int64 = 30

    /// Where the log is: an address, or a folder; without a slash at the end.
    let prefix: String
    let http: HTTPClient
    private var isFolder: Bool { !prefix.hasPrefix("http://") && !prefix.hasPrefix("https://") }

    init(prefix: String, http: HTTPClient) {
        self.prefix = prefix
        self.http = http
    }

    /// - Parameters:
    ///   - key: makes the log's key out of its origin; nil: the one that the log tells itself.
    ///   - known: a checkpoint seen before, with which the tree must begin.
    ///   - quorum: whose cosignatures the checkpoint must have.
    ///   - wanted: an entry to look for.
    ///   - progress: told how many entries were read.
    /// - Throws: `LogError` where the log does not hold; `Failure` where it can't be read.
    func read(
        key: ((_ origin: String) throws -> NoteKey)?,
        known: SignedNote?,
        quorum: Quorum = Quorum(),
        wanted: [UInt8]? = nil,
        progress: (UInt64, UInt64) -> Void
    ) async throws -> Finding {
        let note = try SignedNote(try await text("checkpoint"))
        let claimed = try Checkpoint(text: note.text)
        let log =
            if let key {
                try key(claimed.origin)
            } else {
                try NoteKey(vkey: try await text("vkey").trimmingCharacters(in: .newlines))
            }
        let checkpoint = try Checkpoint.verify(note, log: log, witnesses: quorum.witnesses, quorum: quorum.count)
        let before = try known.map { try Checkpoint.verify($0, log: log) }
        if let before, before.size > checkpoint.size {
            throw LogError(
                .inconsistent,
                "the log was rewound: it had \(before.size) entries before, and has \(checkpoint.size) now"
            )
        }
        var tree = MerkleFrontier()
        var index: UInt64?
        try Self.compare(tree, with: before)
        var bundle: UInt64 = 0
        while tree.size < checkpoint.size {
            for entries in try await bundles(from: bundle, size: checkpoint.size) {
                for entry in entries {
                    if entry == wanted { index = index ?? tree.size }
                    tree.append(leaf: MerkleTree.leaf(entry))
                    try Self.compare(tree, with: before)
                }
                bundle += 1
            }
            progress(tree.size, checkpoint.size)
        }
        guard tree.root == checkpoint.root else {
            throw LogError(.inconsistent, "the entries that the log serves are not those of its checkpoint")
        }
        return Finding(
            checkpoint: checkpoint,
            note: note,
            key: log,
            isKeyOnlyTold: key == nil,
            beginsWith: before?.size,
            index: index
        )
    }

    private static func compare(_ tree: MerkleFrontier, with known: Checkpoint?) throws {
        guard let known, known.size == tree.size else { return }
        guard known.root == tree.root else {
            throw LogError(
                .inconsistent,
                "the log was forked: its first \(known.size) entries are not those of the checkpoint seen before"
            )
        }
    }

    private func bundles(from first: UInt64, size: UInt64) async throws -> [[[UInt8]]] {
        let width = UInt64(TilePath.fullWidth)
        let paths = (first..<first + UInt64(Self.window)).filter { $0 * width < size }.map {
            TilePath(.entries, number: $0, width: Int(min(width, size - $0 * width)))
        }
        return try await withThrowingTaskGroup(of: (Int, [[UInt8]]).self) { group in
            for (index, path) in paths.enumerated() {
                group.addTask {
                    let entries = try EntryBundle.decode(try await bytes("\(path)", limit: 256 * 65_537))
                    guard entries.count == path.width else {
                        throw LogError(.missingTile, "\(path) holds \(entries.count) entries")
                    }
                    return (index, entries)
                }
            }
            var found = [[[UInt8]]](repeating: [], count: paths.count)
            for try await (index, entries) in group { found[index] = entries }
            return found
        }
    }

    private func text(_ path: String) async throws -> String {
        String(decoding: try await bytes(path, limit: SignedNote.maximumBytes), as: UTF8.self)
    }

    private func bytes(_ path: String, limit: Int) async throws -> [UInt8] {
        if isFolder { return try file(path, limit: limit) }
        let url = "\(prefix)/\(path)"
        do {
            let answer = try await http.execute(HTTPClientRequest(url: url), timeout: .seconds(Self.timeoutSeconds))
            guard answer.status == .ok else { throw Failure("\(url) answers \(answer.status.code)") }
            return [UInt8](buffer: try await answer.body.collect(upTo: limit))
        } catch let error as Failure {
            throw error
        } catch {
            throw Failure("\(url) cannot be read: \(error)")
        }
    }
    /// A file of a log that was copied as its addresses are.
    private func file(_ path: String, limit: Int) throws -> [UInt8] {
        guard let handle = FileHandle(forReadingAtPath: "\(prefix)/\(path)") else {
            throw LogError(.missingTile, "\(prefix)/\(path) is not there")
        }
        let data = try handle.read(upToCount: limit + 1) ?? Data()
        guard data.count <= limit else { throw LogError(.malformed, "\(prefix)/\(path) is too long") }
        return [UInt8](data)
    }
}
