internal import CanonicalJSON
internal import Cryptography
internal import Encodings
internal import Foundation
internal import Passports
internal import SignedDocuments

/// How many passports one core issues and verifies in a second, beside what its signatures alone would allow.
struct PassportBenchmark {
    var passports = 25_000
    /// Passports and signatures take turns in rounds, so that a busy moment touches both.
    var rounds = 25

    private static let lists: [(purpose: StatusPurpose, url: String)] = [
        (.revocation, "https://node.example/status/1"), (.suspension, "https://node.example/status/2"),
    ]

    func run() throws -> [Measure] {
        let now = Timestamp(secondsSince1970: 1_790_000_000)
        let key = Ed25519.PrivateKey()
        let signer = DocumentSigner(key)
        let message = SecureRandom.bytes(64)
        let signature = try key.sign(message)
        let claims = try (0..<64).map { try makeClaims($0, now: now) }
        let headers = try claims.map { try Passport.issue($0, by: signer, now: now).encodedHeader }
        let verifier = PassportVerifier(
            trustedIssuers: [signer.did],
            requiredCapability: "pay",
            maximumStatusAgeSeconds: 300
        )
        let lists = statusLists(of: signer, now: now)
        let each = passports / rounds
        var issuing: [Double] = []
        var signing: [Double] = []
        var verifying: [Double] = []
        var checking: [Double] = []
        for _ in 0..<rounds {
            signing.append(
                try Timing.seconds { for _ in 0..<each { _ = try key.sign(message) } }
            )
            issuing.append(
                try Timing.seconds {
                    for index in 0..<each {
                        let passport = try Passport.issue(claims[index % claims.count], by: signer, now: now)
                        guard passport.encodedHeader.utf8.count > 500 else { throw BenchmarkError("a short passport") }
                    }
                }
            )
            checking.append(
                try Timing.seconds {
                    for _ in 0..<each where !key.publicKey.isValid(signature: signature, for: message) {
                        throw BenchmarkError("a good signature did not verify")
                    }
                }
            )
            verifying.append(
                try Timing.seconds {
                    for index in 0..<each {
                        let passport = try Passport(header: headers[index % headers.count])
                        let verdict = verifier.verify(passport, now: now, statusLists: lists)
                        guard verdict.reasons.isEmpty else { throw BenchmarkError("\(verdict.reasons)") }
                    }
                }
            )
        }
        return [
            Measure.rate("passport-issue-one-core", each: each, issuing, floor: signing),
            Measure.rate("passport-verify-one-core", each: each, verifying, floor: checking),
        ]
    }

    /// Every form: issuing and verifying, each beside the bare signature of its curve in the same run.
    func runForms() throws -> [Measure] {
        let now = Timestamp(secondsSince1970: 1_790_000_000)
        let edwards = DocumentKey(Ed25519.PrivateKey())
        let p256 = DocumentKey(P256.PrivateKey())
        var measures: [Measure] = []
        for form in PassportForm.allCases {
            let key = form.keyKind == .ed25519 ? edwards : p256
            measures.append(contentsOf: try measure(form, key, now: now))
        }
        measures.append(try measureBound(p256, now: now))
        return measures
    }

    private func measure(_ form: PassportForm, _ key: DocumentKey, now: Timestamp) throws -> [Measure] {
        let token = StatusEntry(
            purpose: .revocation,
            listURL: "https://node.example/status/1/token",
            index: 7,
            format: .token
        )
        let claims = try (0..<64).map { index in
            var claims = try makeClaims(index, now: now)
            if form.statusFormat == .token { claims.status = [token] }
            return claims
        }
        let bytes = try claims.map { try Passport.issue($0, form: form, by: key, now: now).bytes }
        let verifier = PassportVerifier(trustedIssuers: [key.did], statusPolicy: .skipped)
        let message = SecureRandom.bytes(64)
        let signature = try key.sign(.token(message))
        let each = passports / rounds / 4
        var seconds = [[Double]](repeating: [], count: 4)
        for _ in 0..<rounds {
            seconds[0].append(try Timing.seconds { for _ in 0..<each { _ = try key.sign(.token(message)) } })
            seconds[1].append(
                try Timing.seconds {
                    for index in 0..<each {
                        _ = try Passport.issue(claims[index % claims.count], form: form, by: key, now: now)
                    }
                }
            )
            seconds[2].append(
                try Timing.seconds {
                    for _ in 0..<each where !key.did.isValid(signature: signature, for: message) {
                        throw BenchmarkError("a good signature did not verify")
                    }
                }
            )
            seconds[3].append(
                try Timing.seconds {
                    for index in 0..<each {
                        let verdict = verifier.verify(
                            try Passport(bytes: bytes[index % bytes.count]),
                            now: now,
                            states: [:]
                        )
                        guard verdict.isValid else { throw BenchmarkError("\(verdict.reasons)") }
                    }
                }
            )
        }
        return [
            Measure.rate("\(form.rawValue)-issue-one-core", each: each, seconds[1], floor: seconds[0]),
            Measure.rate("\(form.rawValue)-verify-one-core", each: each, seconds[3], floor: seconds[2]),
        ]
    }

    /// An SD-JWT shown to one verifier: the issuer's P-256 signature, the holder's Ed25519 signature, audience and nonce,
    /// beside the two bare signatures.
    private func measureBound(_ key: DocumentKey, now: Timestamp) throws -> Measure {
        let holder = DocumentKey(Ed25519.PrivateKey())
        var claims = try makeClaims(0, now: now)
        claims.subject = holder.did
        claims.status = [
            StatusEntry(purpose: .revocation, listURL: "https://node.example/status/1/token", index: 7, format: .token)
        ]
        let text = String(decoding: try Passport.issue(claims, form: .sdJWT, by: key, now: now).bytes, as: UTF8.self)
        let shown = try SDJWT.bind(text, audience: "https://shop.example", nonce: "n", by: holder, now: now)
        let types = [PassportForm.sdJWT.rawValue]
        let message = SecureRandom.bytes(64)
        let signatures = (try key.sign(.token(message)), try holder.sign(.token(message)))
        let each = passports / rounds / 4
        var verifying: [Double] = []
        var checking: [Double] = []
        for _ in 0..<rounds {
            verifying.append(
                try Timing.seconds {
                    for _ in 0..<each {
                        let token = try SDJWT(shown, types: types)
                        _ = try token.token.verify(issuer: token.token.payload["iss"]?.stringValue ?? "")
                        _ = try token.claims()
                        _ = try token.keyBinding(audience: "https://shop.example", nonce: "n", now: now)
                    }
                }
            )
            checking.append(
                try Timing.seconds {
                    for _ in 0..<each {
                        guard key.did.isValid(signature: signatures.0, for: message),
                            holder.did.isValid(signature: signatures.1, for: message)
                        else { throw BenchmarkError("a good signature did not verify") }
                    }
                }
            )
        }
        return Measure.rate("dc+sd-jwt-key-binding-verify-one-core", each: each, verifying, floor: checking)
    }

    private func makeClaims(_ index: Int, now: Timestamp) throws -> PassportClaims {
        PassportClaims(
            id: "urn:uuid:" + UUID().uuidString.lowercased(),
            agentID: "urn:uuid:" + UUID().uuidString.lowercased(),
            subject: DIDKey(Ed25519.PrivateKey().publicKey),
            name: "planner-\(index)",
            operatorName: "https://node.example",
            capabilities: ["pay", "invoke"],
            spendLimit: try SpendLimit.satoshi(5000),
            nextKeyDigest: MultihashDigest.commitment(to: DIDKey(Ed25519.PrivateKey().publicKey)),
            validFrom: now,
            validUntil: now.adding(seconds: 86_400),
            status: Self.lists.map { StatusEntry(purpose: $0.purpose, listURL: $0.url, index: 4_711 + index) }
        )
    }

    private func statusLists(of signer: DocumentSigner, now: Timestamp) -> [String: VerifiedStatusList] {
        Dictionary(
            uniqueKeysWithValues: Self.lists.map { purpose, url in
                let list = VerifiedStatusList(
                    url: url,
                    issuer: signer.did,
                    purpose: purpose,
                    sequence: 1,
                    validFrom: now,
                    validUntil: now.adding(seconds: 3600),
                    ttlMilliseconds: 60_000,
                    bitmap: StatusBitmap()
                )
                return (url, list)
            }
        )
    }
}
