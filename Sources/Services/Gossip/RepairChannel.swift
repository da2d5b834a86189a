internal import Libp2p
internal import P2PTransport
internal import Records

/// One session's stream in messages, with its budget. One task uses it.
struct RepairChannel {
    private let stream: P2PStream
    private var reader = DelimitedReader(maximumBytes: RepairFrame.maximumBytes)
    private let budget: Int
    private(set) var bytesRead = 0
    private(set) var bytesWritten = 0
    /// Authors whose passport this side has told in this session.
    var toldAuthors: Set<Int64> = []

    init(_ stream: P2PStream, budget: Int) {
        self.stream = stream
        self.budget = budget
    }

    /// The next message; nil once the peer has finished.
    /// - Throws: `Libp2pError`, with `.limitExceeded` where the session has used its bytes up.
    mutating func next() async throws -> RepairFrame? {
        while true {
            if let body = try reader.next() { return try RepairFrame(body: body) }
            guard let bytes = try await stream.read() else {
                guard reader.isAtBoundary else { throw Libp2pError(.malformed, "the stream ended inside a message") }
                return nil
            }
            bytesRead += bytes.count
            try check()
            reader.append(bytes)
        }
    }

    mutating func send(_ frame: RepairFrame) async throws {
        let bytes = frame.delimited
        bytesWritten += bytes.count
        try check()
        try await stream.write(bytes)
    }

    private func check() throws {
        guard bytesRead + bytesWritten <= budget else {
            throw Libp2pError(.limitExceeded, "the session has used up the bytes that it may")
        }
    }

    func finish() { stream.finish() }
}

extension RecordStore {
    /// The records with the first of these ids, as many as fit into one message.
    /// - Parameter told: authors whose passport has been told; those of this message are added.
    func frame(_ ids: [RecordID], told: inout Set<Int64>) async throws -> RepairFrame {
        var (handled, size) = (0, 16)
        var records: [[UInt8]] = []
        // A few at a time, so that not much more is read than fits.
        while handled < ids.count {
            let share = Array(ids[handled..<min(handled + 32, ids.count)])
            let pieces = Dictionary(try await pieces(share).map { ($0.id, $0) }, uniquingKeysWith: { $1 })
            for id in share {
                if let piece = pieces[id] {
                    let isNew = !told.contains(piece.author)
                    let envelope = RecordEnvelope.bytes(
                        record: piece.record,
                        passport: isNew ? piece.passport : nil,
                        stamp: piece.stamp
                    )
                    guard size + envelope.count + 4 <= RepairFrame.maximumBytes else {
                        return .records(handled: handled, records)
                    }
                    size += envelope.count + 4
                    told.insert(piece.author)
                    records.append(envelope)
                }
                handled += 1
            }
        }
        return .records(handled: handled, records)
    }
}
