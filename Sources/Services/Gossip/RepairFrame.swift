internal import Encodings
internal import Libp2p
internal import Records

/// One message of the repair protocol: `uvarint(length) ‖ type ‖ rest` ([RPR-2]).
enum RepairFrame: Sendable, Hashable {
    /// A message of negentropy.
    case reconcile([UInt8])
    /// Asks for the records with these ids.
    case want([RecordID])
    /// Records, in the order in which they were asked for, and how many of the ids asked for that settles: what is not here
    /// any more is left out, and what did not fit is asked for again.
    case records(handled: Int, [[UInt8]])
    /// Tells of records that the other side may want.
    case offer([RecordID])
    /// The records were looked at.
    case taken
    /// Not now.
    case busy

    /// The most bytes of one, without its length.
    static let maximumBytes = 262_144
    static let maximumIDs = 512

    /// Reads a message without its length.
    /// - Throws: `Libp2pError` with `.malformed`.
    init(body: some Collection<UInt8>) throws(Libp2pError) {
        let rest = [UInt8](body.dropFirst())
        switch body.first {
        case 1 where !rest.isEmpty: self = .reconcile(rest)
        case 2: self = .want(try Self.ids(rest))
        case 3: self = try Self.records(rest)
        case 4: self = .offer(try Self.ids(rest))
        case 5 where rest.isEmpty: self = .taken
        case 6 where rest.isEmpty: self = .busy
        default: throw Libp2pError(.malformed, "this is no message of the repair protocol")
        }
    }

    private static func ids(_ bytes: [UInt8]) throws(Libp2pError) -> [RecordID] {
        guard bytes.count.isMultiple(of: RecordID.byteCount), bytes.count <= maximumIDs * RecordID.byteCount else {
            throw Libp2pError(.malformed, "a list has at most \(maximumIDs) ids of \(RecordID.byteCount) bytes")
        }
        return stride(from: 0, to: bytes.count, by: RecordID.byteCount).compactMap {
            RecordID(bytes: bytes[$0..<($0 + RecordID.byteCount)])
        }
    }

    private static func records(_ bytes: [UInt8]) throws(Libp2pError) -> RepairFrame {
        do {
            var reader = ByteReader(bytes)
            let handled = try Varint.decode(&reader)
            guard handled <= UInt64(maximumIDs) else {
                throw Libp2pError(.malformed, "more records are told of than can have been asked for")
            }
            var records: [[UInt8]] = []
            while reader.remaining > 0 {
                let count = try Varint.decode(&reader)
                guard records.count < Int(handled), count <= UInt64(reader.remaining) else {
                    throw Libp2pError(.malformed, "there are more records than are told of")
                }
                records.append(try reader.bytes(Int(count)))
            }
            return .records(handled: Int(handled), records)
        } catch let error as Libp2pError {
            throw error
        } catch {
            throw Libp2pError(.malformed, "the message ends inside a record")
        }
    }

    /// As it travels.
    var delimited: [UInt8] {
        var body: [UInt8] = []
        switch self {
        case .reconcile(let message): body = [1] + message
        case .want(let ids): body = [2] + ids.flatMap(\.bytes)
        case .records(let handled, let records):
            body = [3] + Varint.encode(UInt64(handled))
            body.reserveCapacity(records.reduce(8) { $0 + $1.count + 4 })
            for record in records { body += Varint.encode(UInt64(record.count)) + record }
        case .offer(let ids): body = [4] + ids.flatMap(\.bytes)
        case .taken: body = [5]
        case .busy: body = [6]
        }
        return Varint.encode(UInt64(body.count)) + body
    }
}
