// Payment requests for QR codes (NUT-26): `creqb1…`, bech32m over tag, length and value.
import CanonicalJSON
import Encodings

extension PaymentRequest {
    static let bech32Prefix = "creqb"

    /// `CREQB1…` in upper case, which QR codes hold in their denser mode.
    ///
    /// - Throws: ``CashuError/Code/malformed`` for a transport that NUT-26 has no number for and a nostr target that isn't an
    ///   `nprofile` or `npub`; ``CashuError/Code/tooLarge`` for text beyond the format's lengths.
    public func serializedBech32() throws(CashuError) -> String {
        let text = Bech32.encode(
            hrp: PaymentRequest.bech32Prefix,
            words: Bech32.words(fromBytes: try tlv()),
            variant: .bech32m
        )
        guard text.utf8.count <= CashuLimits.paymentRequestCharacters else {
            throw CashuError(
                .tooLarge,
                "the payment request would have more than \(CashuLimits.paymentRequestCharacters) characters"
            )
        }
        return text.uppercased()
    }

    /// Reads `creqb1…` in either case.
    init(bech32 text: String) throws {
        let bytes: [UInt8]
        do {
            let parts = try Bech32.decode(text, maximumLength: CashuLimits.paymentRequestCharacters)
            guard parts.hrp == PaymentRequest.bech32Prefix, parts.variant == .bech32m else {
                throw CashuError(.malformed, "it isn't bech32m with the prefix creqb")
            }
            bytes = try Bech32.bytes(fromWords: parts.words)
        } catch {
            throw CashuError(.malformed, "the payment request is damaged: part of it may be missing", cause: error)
        }
        try self.init(tlv: bytes)
    }

    // MARK: Fields

    private enum Tag {
        static let id: UInt8 = 0x01
        static let amount: UInt8 = 0x02
        static let unit: UInt8 = 0x03
        static let singleUse: UInt8 = 0x04
        static let mint: UInt8 = 0x05
        static let description: UInt8 = 0x06
        static let transport: UInt8 = 0x07
        static let lock: UInt8 = 0x08
        /// The two newer ones (cashubtc/nuts#381).
        static let prefersMints: UInt8 = 0x09
        static let supportedMethod: UInt8 = 0x0A
    }

    /// Unknown tags are passed over; a field that can't be repeated and is, is refused rather than guessed at.
    private init(tlv bytes: [UInt8]) throws {
        let fields = try RequestFields(bytes)
        let transports = try fields.all(Tag.transport).map(RequestTransport.read)
        let methods = try fields.all(Tag.supportedMethod).map { value in
            let inner = try RequestFields(value)
            guard let method = try inner.text(0x01) else {
                throw CashuError(.malformed, "a method of the payment request has no name")
            }
            return SupportedMethod(method: method, fee: try inner.uint64(0x02))
        }
        var unit: CurrencyUnit?
        if let value = try fields.one(Tag.unit) {
            unit = value == [0] ? .sat : try CurrencyUnit(RequestFields.text(value))
        }
        try self.init(
            id: fields.text(Tag.id),
            amount: fields.uint64(Tag.amount),
            unit: unit,
            isSingleUse: fields.flag(Tag.singleUse),
            mints: fields.all(Tag.mint).map { try MintURL(RequestFields.text($0)) },
            prefersMints: fields.flag(Tag.prefersMints),
            supportedMethods: methods,
            description: fields.text(Tag.description),
            transports: transports,
            lock: fields.one(Tag.lock).map(PaymentRequest.readLock)
        )
    }

    private func tlv() throws(CashuError) -> [UInt8] {
        var fields = RequestFields()
        if let id { try fields.add(Tag.id, text: id) }
        if let amount { try fields.add(Tag.amount, uint64: amount) }
        if let unit { try fields.add(Tag.unit, unit == .sat ? [0] : Array(unit.name.utf8)) }
        if let isSingleUse { try fields.add(Tag.singleUse, [isSingleUse ? 1 : 0]) }
        for mint in mints { try fields.add(Tag.mint, text: mint.string) }
        if let description { try fields.add(Tag.description, text: description) }
        for transport in transports { try fields.add(Tag.transport, RequestTransport.written(transport)) }
        if let lock { try fields.add(Tag.lock, PaymentRequest.written(lock)) }
        if let prefersMints { try fields.add(Tag.prefersMints, [prefersMints ? 1 : 0]) }
        for method in supportedMethods {
            var inner = RequestFields()
            try inner.add(0x01, text: method.method)
            if let fee = method.fee { try inner.add(0x02, uint64: fee) }
            try fields.add(Tag.supportedMethod, inner.bytes)
        }
        return fields.bytes
    }

    // MARK: The lock

    /// The numbers of NUT-26. A kind that isn't known stands as its number, and is kept when it is written again.
    private static let lockKinds = [SpendingSecret.p2pk, SpendingSecret.htlc]

    private static func readLock(_ value: [UInt8]) throws -> RequestedLock {
        let inner = try RequestFields(value)
        guard let number = try inner.byte(0x01), let data = try inner.text(0x02) else {
            throw CashuError(.malformed, "the lock of the payment request needs a kind and data")
        }
        let kind = Int(number) < lockKinds.count ? lockKinds[Int(number)] : String(number)
        return RequestedLock(kind: kind, data: data, tags: try inner.all(0x03).map(RequestFields.tuple))
    }

    private static func written(_ lock: RequestedLock) throws(CashuError) -> [UInt8] {
        let known = lockKinds.firstIndex(of: lock.kind).map { UInt8(clamping: $0) }
        guard let number = known ?? UInt8(lock.kind) else {
            throw CashuError(.malformed, "creqb has no number for locks of kind \"\(lock.kind.prefix(20))\"; use creqA")
        }
        var inner = RequestFields()
        try inner.add(0x01, [number])
        try inner.add(0x02, text: lock.data)
        for tag in lock.tags { try inner.add(0x03, RequestFields.written(tuple: tag)) }
        return inner.bytes
    }
}

/// How a transport stands in a `creqb` request.
private enum RequestTransport {
    private static let nostr: UInt8 = 0
    private static let post: UInt8 = 1

    static func read(_ value: [UInt8]) throws -> PaymentTransport {
        let inner = try RequestFields(value)
        guard let kind = try inner.byte(0x01), let target = try inner.one(0x02) else {
            throw CashuError(.malformed, "a transport of the payment request needs a kind and a target")
        }
        var tags = try inner.all(0x03).map(RequestFields.tuple)
        switch kind {
        case nostr:
            guard target.count == 32 else {
                throw CashuError(.malformed, "a nostr target of the payment request must have 32 bytes")
            }
            // NUT-26 says `npub` where there are no relays; its vectors and NUT-18 have `nprofile` throughout.
            let relays = tags.filter { $0.first == "r" }.flatMap { $0.dropFirst() }
            tags.removeAll { $0.first == "r" }
            let profile = NostrProfile(publicKey: target, relays: relays)
            return PaymentTransport(kind: "nostr", target: try profile.serialized(), tags: tags)
        case post:
            return PaymentTransport(kind: "post", target: try RequestFields.text(target), tags: tags)
        default:
            // Kept, so that it isn't taken for a request without transports, which is paid in band.
            return PaymentTransport(kind: String(kind), target: Hex.encode(target), tags: tags)
        }
    }

    static func written(_ transport: PaymentTransport) throws(CashuError) -> [UInt8] {
        var inner = RequestFields()
        var tags = transport.tags
        switch transport.kind {
        case "nostr":
            let profile = try NostrProfile(transport.target)
            try inner.add(0x01, [nostr])
            try inner.add(0x02, profile.publicKey)
            tags += profile.relays.map { ["r", $0] }
        case "post":
            try inner.add(0x01, [post])
            try inner.add(0x02, text: transport.target)
        default:
            guard let kind = UInt8(transport.kind), kind > post, let target = try? Hex.decode(transport.target) else {
                throw CashuError(
                    .malformed,
                    "creqb has no number for the transport \"\(transport.kind.prefix(20))\"; use creqA"
                )
            }
            try inner.add(0x01, [kind])
            try inner.add(0x02, target)
        }
        for tag in tags { try inner.add(0x03, RequestFields.written(tuple: tag)) }
        return inner.bytes
    }
}

/// A sequence of tag (1 byte), length (2 bytes, big-endian) and value.
private struct RequestFields {
    private(set) var bytes: [UInt8] = []
    private var fields: [(tag: UInt8, value: [UInt8])] = []

    /// Fields of one level.
    private static let maximumFields = 200

    init() {}

    init(_ bytes: [UInt8]) throws {
        var reader = ByteReader(bytes)
        while reader.remaining > 0 {
            guard fields.count < RequestFields.maximumFields else {
                throw CashuError(.tooLarge, "a payment request has at most \(RequestFields.maximumFields) fields")
            }
            do {
                let tag = try reader.byte()
                fields.append((tag, try reader.bytes(Int(reader.uint16()))))
            } catch {
                throw CashuError(.malformed, "a field of the payment request is cut off", cause: error)
            }
        }
    }

    func all(_ tag: UInt8) -> [[UInt8]] {
        fields.filter { $0.tag == tag }.map(\.value)
    }

    /// nil where absent.
    func one(_ tag: UInt8) throws(CashuError) -> [UInt8]? {
        let values = all(tag)
        guard values.count <= 1 else {
            throw CashuError(.malformed, "field \(tag) of the payment request stands there twice")
        }
        return values.first
    }

    func text(_ tag: UInt8) throws(CashuError) -> String? {
        guard let value = try one(tag) else { return nil }
        return try RequestFields.text(value)
    }

    func byte(_ tag: UInt8) throws(CashuError) -> UInt8? {
        guard let value = try one(tag) else { return nil }
        guard value.count == 1 else {
            throw CashuError(.malformed, "field \(tag) of the payment request must be one byte")
        }
        return value[0]
    }

    func flag(_ tag: UInt8) throws(CashuError) -> Bool? {
        guard let value = try byte(tag) else { return nil }
        guard value <= 1 else {
            throw CashuError(.malformed, "field \(tag) of the payment request must be 0 or 1")
        }
        return value == 1
    }

    func uint64(_ tag: UInt8) throws(CashuError) -> UInt64? {
        guard let value = try one(tag) else { return nil }
        guard value.count == 8 else {
            throw CashuError(.malformed, "field \(tag) of the payment request must have 8 bytes")
        }
        return value.reduce(0) { $0 << 8 | UInt64($1) }
    }

    mutating func add(_ tag: UInt8, _ value: [UInt8]) throws(CashuError) {
        guard let count = UInt16(exactly: value.count) else {
            throw CashuError(.tooLarge, "a field of a payment request has at most \(UInt16.max) bytes")
        }
        bytes += [tag, UInt8(count >> 8), UInt8(count & 0xFF)] + value
    }

    mutating func add(_ tag: UInt8, text: String) throws(CashuError) {
        try add(tag, Array(text.utf8))
    }

    mutating func add(_ tag: UInt8, uint64: UInt64) throws(CashuError) {
        try add(tag, stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: uint64 >> UInt64($0)) })
    }

    static func text(_ value: [UInt8]) throws(CashuError) -> String {
        guard value.count <= CashuLimits.memoBytes, let text = String(validating: value, as: UTF8.self) else {
            throw CashuError(
                .malformed,
                "text in a payment request must be UTF-8 of at most \(CashuLimits.memoBytes) bytes"
            )
        }
        return text
    }

    /// A tag of a transport or a lock: each string with its length in one byte.
    static func tuple(_ value: [UInt8]) throws -> [String] {
        var reader = ByteReader(value)
        var strings: [String] = []
        while reader.remaining > 0 {
            do {
                strings.append(try text(reader.bytes(Int(reader.byte()))))
            } catch let error as EncodingError {
                throw CashuError(.malformed, "a tag of the payment request is cut off", cause: error)
            }
        }
        guard !strings.isEmpty else {
            throw CashuError(.malformed, "a tag of the payment request is empty")
        }
        return strings
    }

    static func written(tuple: [String]) throws(CashuError) -> [UInt8] {
        var bytes: [UInt8] = []
        for string in tuple {
            guard let count = UInt8(exactly: string.utf8.count) else {
                throw CashuError(.tooLarge, "a string in a tag of a payment request has at most 255 bytes in creqb")
            }
            bytes.append(count)
            bytes += Array(string.utf8)
        }
        return bytes
    }
}

/// Who is reached over nostr, and where (NIP-19): only so far as a payment request needs it.
private struct NostrProfile {
    var publicKey: [UInt8]
    var relays: [String]

    /// Longest text that is read.
    private static let maximumCharacters = 4096

    init(publicKey: [UInt8], relays: [String]) {
        self.publicKey = publicKey
        self.relays = relays
    }

    /// Reads `nprofile1…` or `npub1…`.
    init(_ text: String) throws(CashuError) {
        do {
            let parts = try Bech32.decode(text, maximumLength: NostrProfile.maximumCharacters)
            let bytes = try Bech32.bytes(fromWords: parts.words)
            switch (parts.hrp, parts.variant) {
            case ("npub", .bech32): (publicKey, relays) = (bytes, [])
            case ("nprofile", .bech32): (publicKey, relays) = try NostrProfile.fields(bytes)
            default: throw CashuError(.malformed, "it starts with \(parts.hrp.prefix(12))")
            }
        } catch {
            throw CashuError(.malformed, "a nostr target must be an nprofile or npub", cause: error)
        }
        guard publicKey.count == 32 else {
            throw CashuError(.malformed, "a nostr target must hold a key of 32 bytes")
        }
    }

    private static func fields(_ bytes: [UInt8]) throws -> (publicKey: [UInt8], relays: [String]) {
        var reader = ByteReader(bytes)
        var publicKey: [UInt8] = []
        var relays: [String] = []
        while reader.remaining > 0 {
            let tag = try reader.byte()
            let value = try reader.bytes(Int(reader.byte()))
            switch tag {
            case 0: publicKey = value
            case 1: relays.append(try RequestFields.text(value))
            default: break
            }
        }
        return (publicKey, relays)
    }

    func serialized() throws(CashuError) -> String {
        var bytes: [UInt8] = [0, UInt8(clamping: publicKey.count)] + publicKey
        for relay in relays {
            guard let count = UInt8(exactly: relay.utf8.count) else {
                throw CashuError(.tooLarge, "a relay of a nostr target has at most 255 bytes")
            }
            bytes += [1, count] + Array(relay.utf8)
        }
        return Bech32.encode(hrp: "nprofile", words: Bech32.words(fromBytes: bytes), variant: .bech32)
    }
}
