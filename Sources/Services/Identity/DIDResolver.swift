public import CanonicalJSON
public import Encodings
import NIOHTTP1
public import SignedDocuments
import Synchronization

/// What a resolver found.
public struct ResolvedDID: Sendable {
    public let did: String
    public let document: JSONObject
    /// Of a did:webvh: the version, `<number>-<hash>`.
    public let versionID: String?

    public init(did: String, document: JSONObject, versionID: String? = nil) {
        self.did = did
        self.document = document
        self.versionID = versionID
    }
}

/// Fetches the bytes behind a URL for the resolver.
public protocol DIDFetching: Sendable {
    /// - Parameter maximumBytes: a longer answer is refused, not cut.
    /// - Throws: an error whose text tells why.
    func fetch(_ url: String, maximumBytes: Int) async throws -> [UInt8]
}

/// Resolves DIDs: `did:key` and `did:jwk` without a network; `did:web` and `did:webvh` over https, with bounds on size,
/// time and addresses, and no redirects.
public final class DIDResolver: Sendable {
    /// The longest did:web document read, in bytes.
    public static let maximumDocumentBytes = 64 * 1_024
    /// The most documents remembered; one is remembered for ``keepSeconds``.
    static let maximumKept = 512
    static let keepSeconds: Int64 = 60
    /// The most DIDs one document may make the node resolve.
    public static let maximumPerDocument = 4

    private let fetcher: any DIDFetching
    private let clock: WallClock
    private let kept = Mutex<[String: (found: ResolvedDID, until: Timestamp)]>([:])

    public init(fetcher: any DIDFetching, clock: WallClock) {
        self.fetcher = fetcher
        self.clock = clock
    }

    /// - Throws: `DocumentError` with `.malformedDID`, `.unsupportedKey`, `.unresolvedDID` or `.badLog`.
    public func resolve(_ did: String) async throws(DocumentError) -> ResolvedDID {
        if did.hasPrefix("did:key:") {
            let key = try DIDKey(parsing: did)
            return ResolvedDID(did: did, document: DIDDocuments.document(did, keys: [key], controller: nil))
        }
        if did.hasPrefix("did:jwk:") {
            let jwk = try DIDJWK(parsing: did)
            let method: JSONValue = [
                "id": .string(jwk.verificationMethod), "type": "JsonWebKey", "controller": .string(did),
                "publicKeyJwk": .object(jwk.key.jwk),
            ]
            return ResolvedDID(
                did: did,
                document: [
                    "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/jwk/v1"],
                    "id": .string(did),
                    "verificationMethod": [method], "assertionMethod": ["#0"], "authentication": ["#0"],
                ]
            )
        }
        let place = try WebDID(parsing: did)
        let now = clock.now()
        if let known = kept.withLock({ $0[did] }), now < known.until,
            now >= known.until.adding(seconds: -Self.keepSeconds)
        {
            return known.found
        }
        let found = try await fetch(place, now: now)
        kept.withLock { kept in
            if kept.count >= Self.maximumKept {
                kept = kept.filter { $0.value.until > now }
                if kept.count >= Self.maximumKept { kept.removeAll() }
            }
            kept[did] = (found, now.adding(seconds: Self.keepSeconds))
        }
        return found
    }

    /// The keys behind the issuers and signers of a document, as far as they must be resolved.
    ///
    /// - Throws: as ``resolve(_:)``.
    public func methods(for dids: some Sequence<String>) async throws(DocumentError) -> VerificationMethods {
        var methods = VerificationMethods()
        var seen: Set<String> = []
        for url in dids {
            let did = String(url.prefix { $0 != "#" })
            guard did.hasPrefix("did:web:") || did.hasPrefix("did:webvh:"), seen.insert(did).inserted else { continue }
            guard seen.count <= Self.maximumPerDocument else {
                throw DocumentError(
                    .unresolvedDID,
                    "more than \(Self.maximumPerDocument) DIDs would have to be resolved"
                )
            }
            try methods.add(try await resolve(did).document, of: did)
        }
        return methods
    }

    /// Fetches the witnesses' proofs only where the log, all else in it verified, names witnesses.
    private func log(_ bytes: [UInt8], _ place: WebDID, now: Timestamp) async throws(DocumentError) -> WebVHLog {
        do {
            return try WebVHLog(bytes, resolving: place, now: now)
        } catch  where error.code == .witnessMissing {
            let proofs: [UInt8]
            do {
                proofs = try await fetcher.fetch(place.witnessURL, maximumBytes: WebVHLog.maximumBytes)
            } catch {
                throw DocumentError(.unresolvedDID, "the witnesses of \(place) could not be asked for: \(error)")
            }
            return try WebVHLog(bytes, resolving: place, now: now, witnessProofs: proofs)
        }
    }

    private func fetch(_ place: WebDID, now: Timestamp) async throws(DocumentError) -> ResolvedDID {
        let bytes: [UInt8]
        do {
            bytes = try await fetcher.fetch(
                place.url,
                maximumBytes: place.method == .web ? Self.maximumDocumentBytes : WebVHLog.maximumBytes
            )
        } catch {
            throw DocumentError(.unresolvedDID, "\(place) could not be resolved: \(error)")
        }
        if place.method == .webvh {
            let log = try await log(bytes, place, now: now)
            guard !log.isDeactivated else { throw DocumentError(.unresolvedDID, "\(place) was deactivated") }
            return ResolvedDID(did: place.string, document: log.document, versionID: log.versionID)
        }
        let limits = JSONLimits(maximumBytes: Self.maximumDocumentBytes, maximumDepth: 12, maximumValues: 2_048)
        guard let document = (try? JSONValue.parse(bytes, limits: limits))?.objectValue,
            document["id"]?.stringValue == place.string
        else { throw DocumentError(.unresolvedDID, "what stands at \(place.url) is not the document of \(place)") }
        return ResolvedDID(did: place.string, document: document)
    }
}

/// Fetches over https, as ``GuardedFetch`` does.
public struct HTTPDIDFetcher: DIDFetching {
    private let guarded: GuardedFetch

    /// - Parameter allowsLocal: see ``IdentityConfiguration/allowsLocalLists``; then loopback is asked over plain http.
    public init(allowsLocal: Bool) { self.init(allowsLocal: allowsLocal, lookUp: nil) }

    init(allowsLocal: Bool, lookUp: GuardedFetch.LookUp?) {
        guarded = GuardedFetch(allowsLocal: allowsLocal, lookUp: lookUp)
    }

    public func fetch(_ url: String, maximumBytes: Int) async throws -> [UInt8] {
        var url = url
        // A node on this machine is asked as it listens: without TLS.
        if guarded.policy.allowsLocal, ListURLPolicy.place(of: url)?.host == "localhost" {
            url = "http" + url.dropFirst("https".count)
        }
        let headers: HTTPHeaders = ["Accept": "application/did+json, application/json, text/jsonl"]
        let answer = try await guarded.get(url, headers: headers, maximumBytes: maximumBytes)
        guard answer.status == 200 else {
            throw FetchError(description: "\(url) answered \(answer.status); redirects are not followed")
        }
        return answer.body
    }
}
