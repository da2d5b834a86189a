internal import Cryptography
internal import Encodings
internal import Passports
internal import SignedDocuments

/// How many passports one core issues and verifies a second: signature, canonical form, shape, dates and both status bits.
struct PassportBenchmark {
    /// joserfc's `vc+jwt` in Python on one core, the quickest peer measured: issued and verified a second.
    static let joserfc = (issued: 8_300.0, verified: 7_600.0)

    var passports = 20_000

    func run() throws -> [Measure] {
        let now = Timestamp(secondsSince1970: 1_795_219_200)
        let issuer = DocumentSigner(Ed25519.PrivateKey())
        let claims = try (0..<passports).map { try Self.claims(index: $0, now: now) }
        let clock = ContinuousClock()

        var texts: [[UInt8]] = []
        texts.reserveCapacity(claims.count)
        let issuing = try clock.measure {
            for claim in claims { texts.append(try Passport.issue(claim, by: issuer, now: now).bytes) }
        }
        let verifier = PassportVerifier(
            trustedIssuers: [issuer.did],
            requiredCapability: "pay",
            maximumStatusAgeSeconds: 300
        )
        let lists = Self.lists(issuer: issuer.did, now: now)
        var valid = 0
        let verifying = try clock.measure {
            for text in texts where verifier.verify(try Passport(bytes: text), now: now, statusLists: lists).isValid {
                valid += 1
            }
        }
        guard valid == passports else { throw BenchmarkError("\(passports - valid) passports did not verify") }
        return [
            measure("passport-issue-per-core", issuing, yardstick: Self.joserfc.issued),
            measure("passport-verify-per-core", verifying, yardstick: Self.joserfc.verified),
        ]
    }

    private func measure(_ name: String, _ duration: Duration, yardstick: Double) -> Measure {
        Measure(name: name, value: Double(passports) / (duration / .seconds(1)), unit: "1/s", yardstick: yardstick)
    }

    private static func claims(index: Int, now: Timestamp) throws -> PassportClaims {
        let suffix = String(100_000_000_000 + index)
        return PassportClaims(
            id: "urn:uuid:7f2c1c1e-8a6e-4a7e-9b1c-\(suffix)",
            agentID: "urn:uuid:00000000-0000-4000-8000-\(suffix)",
            subject: DIDKey(Ed25519.PrivateKey().publicKey),
            name: "route-planner-\(index)",
            operatorName: "did:web:operator.example",
            capabilities: ["pay", "invoke"],
            spendLimit: try .satoshi(5_000),
            nextKeyDigest: MultihashDigest.ofBytes([UInt8](suffix.utf8)),
            validFrom: now,
            validUntil: now.adding(seconds: 86_400),
            status: [
                StatusEntry(purpose: .revocation, listURL: "https://node.example/status/1", index: index),
                StatusEntry(purpose: .suspension, listURL: "https://node.example/status/2", index: index),
            ]
        )
    }

    private static func lists(issuer: DIDKey, now: Timestamp) -> [String: VerifiedStatusList] {
        let purposes: [(StatusPurpose, String)] = [
            (.revocation, "https://node.example/status/1"), (.suspension, "https://node.example/status/2"),
        ]
        return Dictionary(
            uniqueKeysWithValues: purposes.map { purpose, url in
                let list = VerifiedStatusList(
                    url: url,
                    issuer: issuer,
                    purpose: purpose,
                    sequence: 1,
                    validFrom: now,
                    validUntil: now.adding(seconds: 3_600),
                    ttlMilliseconds: 60_000,
                    bitmap: StatusBitmap()
                )
                return (url, list)
            }
        )
    }
}
