internal import Encodings

/// The two binary forms of a macaroon (libmacaroons, doc/format.txt): version 2 is written and read, version 1 only read.
extension Macaroon {
    /// Version 2: `02`, an optional location, the identifier, the caveats, the signature; fields are type, length, bytes.
    /// - Throws: ``MacaroonError`` `too-large`.
    public func serialized() throws(MacaroonError) -> [UInt8] {
        var bytes: [UInt8] = [2]
        if !location.isEmpty { Self.append(.location, location, to: &bytes) }
        Self.append(.identifier, identifier, to: &bytes)
        bytes.append(0)
        for caveat in caveats {
            if !caveat.location.isEmpty { Self.append(.location, caveat.location, to: &bytes) }
            Self.append(.identifier, caveat.identifier, to: &bytes)
            if caveat.isThirdParty { Self.append(.verificationID, caveat.verificationID, to: &bytes) }
            bytes.append(0)
        }
        bytes.append(0)
        Self.append(.signature, signature, to: &bytes)
        guard bytes.count <= Self.maximumBytes else {
            throw MacaroonError(.tooLarge, "A macaroon has at most \(Self.maximumBytes) bytes.")
        }
        return bytes
    }

    /// Reads either binary form; nothing of it is proven by that.
    /// - Throws: ``MacaroonError``.
    public init(serialized bytes: [UInt8]) throws(MacaroonError) {
        guard bytes.count <= Self.maximumBytes else {
            throw MacaroonError(.tooLarge, "A macaroon has at most \(Self.maximumBytes) bytes.")
        }
        do {
            switch bytes.first {
            case 2: self = try Self.readVersion2(bytes)
            // A version 1 macaroon starts with the length of its first packet in hexadecimal digits.
            case UInt8(ascii: "0"): self = try Self.readVersion1(bytes)
            default: throw MacaroonError(.unknownFormat, "This is no binary macaroon of version 1 or 2.")
            }
        } catch let error as MacaroonError {
            throw error
        } catch {
            throw MacaroonError(.malformed, "The macaroon is cut off or damaged.")
        }
    }

    private enum Field: UInt64 {
        case location = 1
        case identifier = 2
        case verificationID = 4
        case signature = 6
    }

    private static func append(_ field: Field, _ content: [UInt8], to bytes: inout [UInt8]) {
        bytes += Varint.encode(field.rawValue)
        bytes += Varint.encode(UInt64(content.count))
        bytes += content
    }

    private static func readVersion2(_ bytes: [UInt8]) throws -> Macaroon {
        var reader = ByteReader(bytes)
        _ = try reader.byte()
        let header = try section(&reader)
        guard let identifier = header.identifier, header.verificationID == nil else {
            throw MacaroonError(.malformed, "The macaroon has no identifier, or a field that its head can't have.")
        }
        var caveats: [Caveat] = []
        while reader.next != 0 {
            guard caveats.count < maximumCaveats else {
                throw MacaroonError(.tooLarge, "A macaroon has at most \(maximumCaveats) caveats.")
            }
            let fields = try section(&reader)
            guard let condition = fields.identifier else {
                throw MacaroonError(.malformed, "A caveat of the macaroon has no condition.")
            }
            let verificationID = fields.verificationID ?? []
            let location = fields.location ?? []
            guard location.isEmpty || !verificationID.isEmpty else {
                throw MacaroonError(.malformed, "A caveat of the macaroon has a location and nobody to ask there.")
            }
            caveats.append(Caveat(condition, verificationID: verificationID, location: location))
        }
        _ = try reader.byte()
        guard try Varint.decode(&reader) == Field.signature.rawValue,
            try Varint.decode(&reader) == UInt64(signatureBytes)
        else { throw MacaroonError(.malformed, "The macaroon has no signature of \(signatureBytes) bytes.") }
        let signature = try reader.bytes(signatureBytes)
        try reader.expectEnd()
        return Macaroon(
            read: header.location ?? [],
            identifier: identifier,
            caveats: caveats,
            signature: signature
        )
    }

    private struct Section {
        var location: [UInt8]?
        var identifier: [UInt8]?
        var verificationID: [UInt8]?
    }

    /// Fields up to the zero byte, in ascending order, none twice. An empty location or verification id, which pymacaroons
    /// writes, is read as none.
    private static func section(_ reader: inout ByteReader) throws -> Section {
        var found = Section()
        var last: UInt64 = 0
        while true {
            let type = try Varint.decode(&reader)
            if type == 0 { return found }
            guard type > last else { throw MacaroonError(.malformed, "The fields of the macaroon are out of order.") }
            last = type
            let length = try Varint.decode(&reader)
            guard length <= UInt64(maximumFieldBytes) else {
                throw MacaroonError(.tooLarge, "A field of a macaroon has at most \(maximumFieldBytes) bytes.")
            }
            let content = try reader.bytes(Int(length))
            switch Field(rawValue: type) {
            case .location: found.location = content
            case .identifier: found.identifier = content
            case .verificationID: found.verificationID = content
            case .signature, nil:
                throw MacaroonError(.malformed, "The macaroon has a field of type \(type), where none can be.")
            }
        }
    }

    /// Version 1: packets of four hexadecimal digits (the length of all of it), a name, a space, bytes and a line feed.
    private static func readVersion1(_ bytes: [UInt8]) throws -> Macaroon {
        var reader = ByteReader(bytes)
        let location = try packet(&reader, named: "location")
        let identifier = try packet(&reader, named: "identifier")
        var caveats: [Caveat] = []
        while true {
            var (name, content) = try packet(&reader)
            if name == "signature" {
                guard content.count == signatureBytes else {
                    throw MacaroonError(.malformed, "The macaroon has no signature of \(signatureBytes) bytes.")
                }
                try reader.expectEnd()
                return Macaroon(read: location, identifier: identifier, caveats: caveats, signature: content)
            }
            guard name == "cid", caveats.count < maximumCaveats else {
                throw MacaroonError(.malformed, "The macaroon has a packet out of its place, or too many caveats.")
            }
            let condition = content
            var verificationID: [UInt8] = []
            var caveatLocation: [UInt8] = []
            var ahead = reader
            (name, content) = try packet(&ahead)
            if name == "vid" {
                verificationID = content
                caveatLocation = try packet(&ahead, named: "cl")
                reader = ahead
            }
            caveats.append(Caveat(condition, verificationID: verificationID, location: caveatLocation))
        }
    }

    private static func packet(_ reader: inout ByteReader, named name: String) throws -> [UInt8] {
        let (found, content) = try packet(&reader)
        guard found == name else {
            throw MacaroonError(.malformed, "The macaroon has a packet out of its place: \(name) is missing.")
        }
        return content
    }

    private static func packet(_ reader: inout ByteReader) throws -> (name: String, content: [UInt8]) {
        let length = try Hex.decode(String(decoding: reader.bytes(4), as: UTF8.self))
        let total = Int(length[0]) << 8 | Int(length[1])
        let body = try reader.bytes(total - 4)
        guard body.last == UInt8(ascii: "\n"), let space = body.firstIndex(of: UInt8(ascii: " ")) else {
            throw MacaroonError(.malformed, "The macaroon has a packet without name or end.")
        }
        let content = Array(body[(space + 1)...].dropLast())
        try requireField(content)
        return (String(decoding: body[..<space], as: UTF8.self), content)
    }
}
