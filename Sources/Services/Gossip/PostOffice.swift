internal import Cryptography
public import Encodings
public import Records
public import SignedDocuments

/// The entry node's side of stamps: it signs for records whose postage it took, and tells the network of them, so that also who
/// has no passport that others know, and no node, is heard ([REC-14], [PST-1]).
///
/// It knows nothing of money. Its address is the upstream of a priced service of the same node, ends with a code that only the
/// operator is told, and so is reached by who paid, in whatever dialect that service takes.
public struct PostOffice: Sendable {
    /// The most postage, in the smallest unit.
    public static let maximumAmount: UInt64 = 1_000_000_000_000
    /// What ``Postage/path`` begins with.
    public static let path = "/records/stamps"

    /// What a record costs.
    public struct Postage: Sendable, Hashable {
        public let amount: UInt64
        /// 1 to 8 lower-case letters, such as `sat`.
        public let unit: String

        /// - Returns: nil where it is out of bounds.
        public init?(amount: UInt64, unit: String) {
            guard (1...PostOffice.maximumAmount).contains(amount), (1...8).contains(unit.utf8.count),
                unit.utf8.allSatisfy({ (0x61...0x7A).contains($0) })
            else { return nil }
            self.amount = amount
            self.unit = unit
        }
    }

    private let signer: DocumentSigner
    private let secret: [UInt8]
    private let rules: RecordRules
    private let clock: WallClock

    /// - Parameter secret: that codes are made with.
    public init(signer: DocumentSigner, secret: [UInt8], rules: RecordRules, clock: WallClock) {
        self.signer = signer
        self.secret = secret
        self.rules = rules
        self.clock = clock
    }

    /// Where records are stamped for this postage. Whoever knows it need not pay: it is the operator's, to sell.
    public func path(_ postage: Postage) -> String {
        "\(Self.path)/\(postage.amount)/\(postage.unit)/\(Base64URL.encode(code(postage)))"
    }

    private func code(_ postage: Postage) -> [UInt8] {
        Hashing.hmacSHA256(key: secret, Array("\(postage.amount) \(postage.unit)".utf8))
    }

    /// Whether the code is that of this postage, compared in constant time.
    public func admits(_ code: String, for postage: Postage) -> Bool {
        ConstantTime.equal(Array(code.utf8), Array(Base64URL.encode(self.code(postage)).utf8))
    }

    /// Stamps a record whose postage was paid.
    ///
    /// - Parameter bytes: the record as it travels ([REC-8]); a stamp that it has is put in the place of by the new one.
    /// - Returns: what may be passed on to others now.
    /// - Throws: `RecordRefusal` where no node would take it; `DocumentError` where signing fails.
    public func stamp(_ bytes: [UInt8], _ postage: Postage) throws -> RecordEnvelope {
        var envelope = try rules.read(bytes, now: clock.now())
        try RecordRules.checkSignature(envelope.record)
        envelope.stamp = try Stamp.sign(
            envelope.record,
            amount: postage.amount,
            unit: postage.unit,
            created: clock.now(),
            by: signer
        )
        return envelope
    }
}
