public import Encodings
internal import Foundation
internal import Identity
public import Paywall

/// Where rates between units come from ([PRC-9]).
public protocol RateSource: Sendable {
    /// For the operator: an address or a path.
    var name: String { get }
    /// The units it gives; every reading has all of them.
    var units: Set<String> { get }
    /// What it says now.
    /// - Throws: where it can't be asked, or says nothing that is a rate; then what it said before holds until it is too old.
    func reading(now: Timestamp) async throws -> RateReading
}

/// The operator's own table: it never ages.
public struct FixedRateSource: RateSource {
    private let table: [String: UInt64]

    public init(_ table: [String: UInt64]) {
        self.table = table
    }

    public var name: String { "the fixed table" }
    public var units: Set<String> { Set(table.keys) }

    public func reading(now: Timestamp) async throws -> RateReading { RateReading(msatPerUnit: table, at: now) }
}

/// A JSON file that something else writes; it is read anew each time, and what it says is as old as the file.
public struct FileRateSource: RateSource {
    private let path: String
    private let document: RateDocument

    public init(path: String, document: RateDocument) {
        self.path = path
        self.document = document
    }

    public var name: String { path }
    public var units: Set<String> { document.units }

    public func reading(now: Timestamp) async throws -> RateReading {
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        defer { try? file.close() }
        // One descriptor for both, so that the age is that of what is read, also where the file is replaced meanwhile.
        var status = stat()
        guard fstat(file.fileDescriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw PriceError(.badRate, "\(path) is no file.")
        }
        let bytes = try file.read(upToCount: RateDocument.maximumBytes + 1) ?? Data()
        let milliseconds = Int64(status.st_mtim.tv_sec) * 1000 + Int64(status.st_mtim.tv_nsec) / 1_000_000
        return RateReading(
            msatPerUnit: try document.rates(in: [UInt8](bytes)),
            at: Timestamp(millisecondsSince1970: milliseconds)
        )
    }
}

/// A price service that answers GET with JSON: over https, or on loopback; no redirects, five seconds, 64 KiB.
public struct HTTPRateSource: RateSource {
    private let url: String
    private let document: RateDocument
    private let fetch: GuardedDocument

    /// - Throws: ``PriceError`` `bad-rate` for an address that is never asked.
    public init(url: String, document: RateDocument) throws(PriceError) {
        self.url = url
        self.document = document
        fetch = GuardedDocument(ownAddress: url)
        if let refusal = fetch.refusal(url) {
            throw PriceError(.badRate, "\(url) can't be asked for rates: \(refusal).")
        }
    }

    public var name: String { url }
    public var units: Set<String> { document.units }

    public func reading(now: Timestamp) async throws -> RateReading {
        let bytes = try await fetch.get(url, maximumBytes: RateDocument.maximumBytes)
        return RateReading(msatPerUnit: try document.rates(in: bytes), at: now)
    }
}
