/// A peer record whose signature was checked, with the envelope that it came in.
public struct SealedPeerRecord: Hashable, Sendable {
    public let record: PeerRecord
    /// As it travels.
    public let sealed: [UInt8]

    /// - Throws: `Libp2pError`, as opening a ``PeerRecord``.
    public init(opening sealed: some Collection<UInt8>) throws(Libp2pError) {
        record = try PeerRecord(opening: sealed)
        self.sealed = [UInt8](sealed)
    }
}

/// `/mintmark/peers/1`: a peer tells some of the peers that it is connected with, by the records that they signed ([GSP-4]).
///
/// Whoever asks opens the stream and finishes it; the answer is one message behind its length as a varint, with field 1 for
/// each sealed record.
public enum PeerExchange {
    public static let protocolName = "/mintmark/peers/1"
    /// The most records of one answer.
    public static let maximumRecords = 16
    /// The longest record that is passed on: 32 addresses of 50 bytes, with a key and a signature, are less.
    public static let maximumRecordBytes = 2 * 1024
    /// The most bytes of an answer.
    public static let maximumBytes = maximumRecords * (maximumRecordBytes + 8)

    /// The answer, behind its length; of what is over the bounds nothing.
    public static func answer(_ records: [[UInt8]]) -> [UInt8] {
        var writer = ProtobufWriter()
        for record in records.filter({ $0.count <= maximumRecordBytes }).prefix(maximumRecords) {
            writer.bytes(1, record)
        }
        var bytes: [UInt8] = []
        bytes.append(varint: UInt64(writer.bytes.count))
        return bytes + writer.bytes
    }

    /// The records of an answer, without its length.
    /// - Throws: `Libp2pError`: one of them is not signed by the peer that it is about, or there are too many. Whoever passes
    ///   records on has to check them, so it is answerable for that.
    public static func records(in message: ArraySlice<UInt8>) throws(Libp2pError) -> [SealedPeerRecord] {
        guard message.count <= maximumBytes else {
            throw Libp2pError(.tooLarge, "an answer with peers has at most \(maximumBytes) bytes")
        }
        var reader = ProtobufReader(message, maximumFields: 64)
        var records: [SealedPeerRecord] = []
        while let field = try reader.next() {
            guard field.number == 1 else { continue }
            guard records.count < maximumRecords else {
                throw Libp2pError(.tooLarge, "an answer names at most \(maximumRecords) peers")
            }
            records.append(try SealedPeerRecord(opening: try field.bytes(maximum: maximumRecordBytes)))
        }
        return records
    }
}
