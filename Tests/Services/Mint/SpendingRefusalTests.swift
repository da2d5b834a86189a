import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Mint
import TestSupport
import Testing

/// What a mint must refuse of a swap, over HTTP, with the code of the specification's list. `Hostile` has the malformed
/// requests; here are the well-formed ones that must not pass.
@Suite("Refusals of a swap") struct SpendingRefusalTests {
    private func refusals(
        _ fixture: MintFixture,
        _ cases: [(name: String, code: Int64, body: [UInt8])],
        _ location: SourceLocation = #_sourceLocation
    ) async throws {
        try await fixture.serve { client in
            for (name, code, body) in cases {
                let answer = try await client.post("swap", body)
                #expect(
                    (answer.status, answer.code) == (400, code),
                    "\(name): \(answer.detail ?? "")",
                    sourceLocation: location
                )
                #expect(answer.detail?.isEmpty == false, "\(name)", sourceLocation: location)
            }
        }
    }

    @Test("duplicates, sums, units, keysets, forged and relabelled coins; afterwards all of them still swap")
    func transactions() async throws {
        let fixture = try await MintFixture(
            MintConfiguration(units: [.init(unit: .sat, inputFeePPK: 100), .init(unit: .msat)])
        )
        let coins = try await fixture.issue([8, 4, 2])
        let other = try await fixture.issue([8], unit: .msat)
        let msat = try fixture.keyset(.msat).id
        var relabelled = coins[1]
        relabelled.amount = 8
        var forged = coins[0]
        forged.signature = coins[1].signature
        var twin = coins[0]
        twin.amount = 4
        var moved = coins[0]
        moved.keysetID = msat
        let same = try fixture.twice(4)
        try await refusals(
            fixture,
            [
                ("an input twice", 11007, try fixture.swapBody([coins[0], coins[0]], fixture.secrets([8, 4, 2, 1]))),
                (
                    "an input twice, as two amounts", 11007,
                    try fixture.swapBody([coins[0], twin], fixture.secrets([8, 2, 1]))
                ),
                ("an output twice", 11008, try fixture.swapBody([coins[0]], same + fixture.secrets([1]))),
                ("too much", 11005, try fixture.swapBody([coins[0]], fixture.secrets([8, 1]))),
                ("no fee", 11005, try fixture.swapBody([coins[0]], fixture.secrets([8]))),
                ("too little", 11005, try fixture.swapBody([coins[0]], fixture.secrets([4]))),
                (
                    "inputs of two units", 11009,
                    try fixture.swapBody([coins[0], other[0]], fixture.secrets([8, 4, 2, 1]))
                ),
                (
                    "outputs of two units", 11009,
                    try fixture.swapBody(
                        [coins[0]],
                        fixture.secrets([4, 2]) + fixture.secrets([1], of: msat)
                    )
                ),
                ("another unit out", 11010, try fixture.swapBody([coins[0]], fixture.secrets([4, 2, 1], of: msat))),
                ("another coin's signature", 10001, try fixture.swapBody([forged], fixture.secrets([4, 2, 1]))),
                ("another amount", 10001, try fixture.swapBody([relabelled], fixture.secrets([4, 2, 1]))),
                ("another keyset", 10001, try fixture.swapBody([moved], fixture.secrets([8], of: msat))),
                (
                    "an amount without a key", 10001,
                    try {
                        var large = coins[0]
                        large.amount = 3
                        return try fixture.swapBody([large], fixture.secrets([2]))
                    }()
                ),
            ]
        )
        #expect(try await fixture.states(coins + other) == [.unspent, .unspent, .unspent, .unspent])
        _ = try await fixture.swap(coins, into: fixture.secrets([8, 4, 1]))
        try await fixture.requireSound()
    }

    @Test("spent inputs 11001 and signed outputs 11003, alone or among good ones, before and after a restart")
    func again() async throws {
        let fixture = try await MintFixture()
        let coins = try await fixture.issue([4, 4])
        let used = try fixture.secrets([4])
        _ = try await fixture.swap([coins[0]], into: used)
        for _ in 0..<2 {
            try await refusals(
                fixture,
                [
                    ("spent", 11001, try fixture.swapBody([coins[0]])),
                    ("spent among others", 11001, try fixture.swapBody([coins[1], coins[0]])),
                    ("signed", 11003, try fixture.swapBody([coins[1]], used)),
                    (
                        "signed among others", 11003,
                        try fixture.swapBody(
                            [coins[1]],
                            fixture.secrets([1, 1, 2]).dropLast() + [try fixture.relabelled(used[0], 2)]
                        )
                    ),
                ]
            )
            try await fixture.reopen()
        }
        #expect(try await fixture.states(coins) == [.spent, .unspent])
        try await fixture.requireSound()
    }

    @Test("unknown 12001, inactive 12002 and expired 12003 keysets; a short id is no keyset id")
    func keysets() async throws {
        let end = UInt64(MintFixture.start.secondsSince1970 + 1000)
        let fixture = try await MintFixture(MintConfiguration(units: [.init(unit: .sat, finalExpiry: end)]))
        let coins = try await fixture.issue([4])
        let old = try fixture.keyset().id
        try await fixture.mint.rotate(.sat)
        let stranger = try KeysetID(bytes: [1] + [UInt8](repeating: 0xAB, count: 32))
        let body = String(decoding: try fixture.swapBody(coins), as: UTF8.self)
        try await refusals(
            fixture,
            [
                ("unknown out", 12001, try fixture.swapBody(coins, fixture.secrets([4], of: stranger))),
                ("unknown in", 12001, Array(body.replacing(old.hex, with: stranger.hex).utf8)),
                ("inactive out", 12002, try fixture.swapBody(coins, fixture.secrets([4], of: old))),
                ("short", 10000, Array(body.replacing(old.hex, with: Hex.encode(old.short)).utf8)),
            ]
        )
        let late = try fixture.swapBody(coins)
        fixture.time.advance(seconds: 1001)
        try await refusals(fixture, [("expired", 12003, late)])
        #expect(try await fixture.states(coins) == [.unspent])
    }

    @Test("P2PK: malformed locks can't be spent by anyone, at any time (10001)")
    func malformedLocks() async throws {
        let fixture = try await MintFixture()
        let key = try TestKey(5)
        let (one, two) = (key.hex, try TestKey(6).hex)
        let parity = (one.hasPrefix("02") ? "03" : "02") + one.dropFirst(2)
        let tags = [
            #"[["n_sigs","0"]]"#, #"[["n_sigs","-1"]]"#, #"[["n_sigs","2"]]"#, #"[["n_sigs","abc"]]"#,
            #"[["sigflag","SIG_X"]]"#, #"[["sigflag","SIG_ALL"],["sigflag","SIG_ALL"]]"#,
            #"[["locktime","1"],["locktime","1"]]"#, #"[["pubkeys","\#(two)"],["pubkeys","\#(two)"]]"#,
            #"[["pubkeys","\#(one)"]]"#, #"[["pubkeys","\#(one.uppercased())"]]"#, #"[["pubkeys","\#(parity)"]]"#,
            #"[["pubkeys","\#(two)","\#(two.uppercased())"],["n_sigs","2"]]"#,
            #"[["refund","\#(two)","\#(two)"],["locktime","1"]]"#, #"[["n_sigs_refund","1"],["locktime","1"]]"#,
        ]
        var cases: [(name: String, code: Int64, body: [UInt8])] = []
        for tags in tags {
            let coin = try await fixture.locked(1, fixture.lock("P2PK", one, tags: tags))
            cases.append((tags, 10001, try fixture.swapBody([coin.signed(by: key.scalar)])))
        }
        try await refusals(fixture, cases)
        fixture.time.advance(seconds: 1_000_000_000)
        try await refusals(fixture, cases)
        try await fixture.requireSound()
    }

    @Test("a locktime that is no unix time (abc, −1, beyond 64 bits) leaves the lock shut for all but its key")
    func badLocktimes() async throws {
        let fixture = try await MintFixture()
        let (key, other) = (try TestKey(5), try TestKey(6))
        fixture.time.advance(seconds: 1_000_000_000)
        for locktime in ["abc", "-1", "18446744073709551616", "1e3", " 1"] {
            let tags = #"[["locktime","\#(locktime)"],["refund","\#(other.hex)"]]"#
            let coin = try await fixture.locked(1, fixture.lock("P2PK", key.hex, tags: tags))
            try await refusals(
                fixture,
                [
                    ("\(locktime), nobody", 10001, try fixture.swapBody([coin])),
                    ("\(locktime), refund", 10001, try fixture.swapBody([coin.signed(by: other.scalar)])),
                ]
            )
            let body = try fixture.swapBody([coin.signed(by: key.scalar)])
            #expect(await code { try await fixture.mint.swap(body) } == nil)
        }
    }

    @Test("signatures: one twice counts once, another's, none, over another coin, in a witness that can't be read")
    func signatures() async throws {
        let fixture = try await MintFixture()
        let (one, two) = (try TestKey(5), try TestKey(6))
        let tags = #"[["pubkeys","\#(two.hex)"],["n_sigs","2"]]"#
        let coin = try await fixture.locked(8, fixture.lock("P2PK", one.hex, tags: tags))
        let other = try await fixture.locked(8, fixture.lock("P2PK", one.hex, tags: tags))
        let once = try coin.signed(by: one.scalar)
        var copied = once
        let signature = try #require(try P2PKWitness(once.witness ?? "").signatures.first)
        copied.witness = P2PKWitness(signatures: [signature, signature]).serialized()
        var moved = coin
        moved.witness = try other.signed(by: one.scalar).signed(by: two.scalar).witness
        func witness(_ text: String) -> Proof {
            var changed = coin
            changed.witness = text
            return changed
        }
        try await refusals(
            fixture,
            [
                ("none", 10001, try fixture.swapBody([coin])), ("one", 10001, try fixture.swapBody([once])),
                ("one twice", 10001, try fixture.swapBody([copied])),
                ("two of one key", 10001, try fixture.swapBody([once.signed(by: one.scalar)])),
                ("a stranger's", 10001, try fixture.swapBody([once.signed(by: TestKey(7).scalar)])),
                ("over another coin", 10001, try fixture.swapBody([moved])),
                ("no JSON", 10001, try fixture.swapBody([witness("signed")])),
                ("no signatures", 10001, try fixture.swapBody([witness("{}")])),
                ("numbers", 10001, try fixture.swapBody([witness(#"{"signatures":[1,2]}"#)])),
            ]
        )
        let body = try fixture.swapBody([once.signed(by: two.scalar)])
        #expect(await code { try await fixture.mint.swap(body) } == nil)
    }

    @Test("SIG_ALL: other outputs, another order, an input more, mixed conditions, the witness elsewhere (10001)")
    func signatureOverAll() async throws {
        let fixture = try await MintFixture()
        let key = try TestKey(5)
        let tags = #"[["sigflag","SIG_ALL"]]"#
        let coins = [
            try await fixture.locked(4, fixture.lock("P2PK", key.hex, tags: tags)),
            try await fixture.locked(4, fixture.lock("P2PK", key.hex, tags: tags)),
        ]
        let plain = try await fixture.issue([4])[0]
        let single = try await fixture.locked(4, fixture.lock("P2PK", key.hex))
        let secrets = try fixture.secrets([4, 4])
        let outputs = try secrets.map { try $0.output() }
        let signed = try SpendingSigner.sign(inputs: coins, outputs: outputs, key: key.scalar)
        var late = coins
        late[1].witness = signed[0].witness
        try await refusals(
            fixture,
            [
                ("other outputs", 10001, try fixture.swapBody(signed, fixture.secrets([4, 4]))),
                ("another order", 10001, try fixture.swapBody(signed, secrets.reversed())),
                ("other amounts", 10001, try fixture.swapBody(signed, fixture.secrets([8]))),
                ("inputs swapped", 10001, try fixture.swapBody([coins[1], coins[0]], secrets)),
                ("a plain input more", 10001, try fixture.swapBody(signed + [plain], secrets + fixture.secrets([4]))),
                (
                    "SIG_INPUTS beside it", 10001,
                    try fixture.swapBody(
                        [signed[0], single.signed(by: key.scalar)],
                        secrets
                    )
                ),
                ("the witness on the second", 10001, try fixture.swapBody(late, secrets)),
                ("a plain one first", 10001, try fixture.swapBody([plain, signed[0]], secrets)),
            ]
        )
        _ = try await fixture.mint.swap(fixture.swapBody(signed, secrets))
        try await fixture.requireSound()
    }

    @Test("a witness on a plain secret changes nothing")
    func strayWitness() async throws {
        let fixture = try await MintFixture()
        var coin = try await fixture.issue([2])[0]
        coin.witness = #"{"preimage":"00","signatures":["zz"]}"#
        let body = try fixture.swapBody([coin])
        try await fixture.serve { client in
            let answer = try await client.post("swap", body)
            #expect(answer.status == 200)
        }
    }

    @Test("no two signatures of the mint share a DLEQ nonce, be the outputs alike or not")
    func nonces() async throws {
        let fixture = try await MintFixture()
        let coins = try await fixture.issue(Array(repeating: 1, count: 40))
        let keyset = try fixture.keyset()
        let key = try keyset.key(for: 1)
        let secrets = try fixture.secrets(Array(repeating: 1, count: 40))
        let answer = try await fixture.mint.swap(fixture.swapBody(coins, secrets))
        let response = try SignaturesResponse(json: .parse(answer, limits: .amounts))
        // R1 = sG − eA: the same nonce would give the same point, and two equations for the mint's key.
        let points = try response.signatures.map { signature in
            let dleq = try #require(signature.dleq)
            let left = Secp256k1.Point(multiplyingGeneratorBy: try Secp256k1.Scalar(bytes: dleq.response))
            let right = try key.multiplied(byPublic: Secp256k1.Scalar(bytes: dleq.challenge))
            return try left.subtracting(right)
        }
        #expect(Set(points).count == 40)
    }
}

extension MintFixture {
    /// The same output under another amount.
    func relabelled(_ secret: BlindingSecret, _ amount: UInt64) throws -> BlindingSecret {
        BlindingSecret(
            amount: amount,
            keysetID: secret.keysetID,
            secret: secret.secret,
            blindingFactor: secret.blindingFactor
        )
    }
}
