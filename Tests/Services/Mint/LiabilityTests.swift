import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Liabilities
import Lightning
import Mint
import SignedDocuments
import Storage
import TestSupport
import Testing

/// The mint's side of `Specs/proof-of-liabilities.md`.
@Suite struct MintLiabilityTests {
    private func json(_ bytes: [UInt8]) throws -> JSONValue {
        try JSONValue.parse(bytes, limits: JSONLimits(maximumBytes: 8 << 20, maximumValues: 1_000_000))
    }

    private func statement(_ text: String) throws -> LiabilityStatement {
        let (statement, signer) = try LiabilityStatement.verified(json(Array(text.utf8)).requireObject())
        #expect(signer == MintFixture.signer.did)
        return statement
    }

    /// All entries of a tree, after checking every page against the index and the index against the statement.
    private func entries(
        _ fixture: MintFixture,
        _ statement: LiabilityStatement,
        _ keyset: KeysetID,
        _ side: String
    ) async throws -> [LiabilityEntry] {
        let root = try #require(statement.keysets.first { $0.id == keyset.hex })
        let mint = try fixture.mint
        let epoch = String(statement.epoch)
        let index = try LiabilityIndex(
            json: json(try await mint.liabilityIndex(epoch: epoch, keyset: keyset.hex, side: side))
        )
        #expect(index.root == (side == "issued" ? root.issued : root.spent))
        var entries: [LiabilityEntry] = []
        for number in index.lines.indices {
            let bytes = try await mint.liabilityPage(epoch: epoch, keyset: keyset.hex, side: side, page: "\(number)")
            let page = try LiabilityPage(json: json(bytes))
            #expect(try page.node() == index.lines[number].node)
            entries += page.entries
        }
        return entries
    }

    private func expected(_ proofs: [Proof]) throws -> Set<LiabilityEntry> {
        Set(try proofs.map { LiabilityEntry(key: try $0.hashedSecret().compressed, amount: $0.amount) })
    }

    @Test(
        "[POL-1] [POL-5] [POL-6] The trees hold what was issued and spent when the epoch closed, whatever comes after"
    )
    func trees() async throws {
        let fixture = try await MintFixture(MintConfiguration(limits: .init(liabilityPageEntries: 4)))
        let keyset = try fixture.keyset().id
        let secrets = try fixture.secrets([1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
        let proofs = try await fixture.issue(secrets.map(\.amount), secrets: secrets)
        _ = try await fixture.swap(Array(proofs[3...5]), into: fixture.secrets([32, 16, 8]))
        let first = try statement(try await fixture.mint.closeEpoch())
        // Later: more of everything, and a rotation.
        _ = try await fixture.swap(Array(proofs[6...8]), into: fixture.secrets([256, 128, 64]))
        try await fixture.mint.rotate(.sat)
        _ = try await fixture.issue([2])
        let second = try statement(try await fixture.mint.closeEpoch())
        try second.requireFollows(first)

        #expect(try await Set(entries(fixture, first, keyset, "spent")) == expected(Array(proofs[3...5])))
        let issued = try await Set(entries(fixture, first, keyset, "issued"))
        #expect(issued.count == 13)
        for secret in secrets {
            let output = try secret.output()
            #expect(issued.contains(.init(key: output.blindedSecret.compressed, amount: output.amount)))
        }
        #expect(try await Set(entries(fixture, second, keyset, "spent")) == expected(Array(proofs[3...8])))
        #expect(try await entries(fixture, second, fixture.keyset().id, "issued").map(\.amount) == [2])
        #expect(second.keysets.count == 2)

        let audit = try await fixture.mint.audit()
        for sums in audit.keysets {
            let said = try #require(second.keysets.first { $0.id == sums.id.hex })
            #expect(
                (said.issued.sum, said.spent.sum, said.outstanding) == (sums.issued, sums.redeemed, sums.outstanding)
            )
        }
    }

    @Test(
        "[POL-1] A melt counts as spent, and its change as issued, in the epoch in which it ended, not that in which it began"
    )
    func melts() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([64])
        let keyset = try fixture.keyset().id
        let (quote, request) = try await fixture.meltQuote(50)
        fixture.lightning.set(.pends)
        _ = try await fixture.melt(quote, proofs, blanks: fixture.secrets([1, 1, 1, 1]))
        let during = try statement(try await fixture.mint.closeEpoch())
        #expect(during.keysets.first?.spent.count == 0 && during.keysets.first?.issued.sum == 64)
        try fixture.lightning.setPayment(request, .settled(preimage: fixture.lightning.preimage(request), feeMsat: 0))
        try await fixture.mint.recoverPendingMelts()
        // The tree of the closed epoch is still what it was.
        #expect(try await entries(fixture, during, keyset, "spent") == [])
        let after = try statement(try await fixture.mint.closeEpoch())
        #expect(after.keysets.first?.spent.sum == 64 && after.keysets.first?.issued.sum == 64 + 14)
        #expect(try await Set(entries(fixture, after, keyset, "spent")) == expected(proofs))
    }

    @Test(
        "[POL-7] [POL-8] Statements are chained by digest, survive restarts, and one that a crash left unsigned is made later"
    )
    func chain() async throws {
        let fixture = try await MintFixture(MintConfiguration(epochSeconds: 3600))
        let none = await status { try await fixture.mint.liabilityStatement(epoch: nil) }
        #expect(none == 404)
        _ = try await fixture.issue([8])
        try await fixture.mint.proveLiabilities()
        let first = try await fixture.mint.liabilityStatement(epoch: nil)
        fixture.time.advance(seconds: 3599)
        try await fixture.mint.proveLiabilities()
        #expect(try await fixture.mint.liabilityStatement(epoch: nil) == first)
        // Closed, and then the process is gone before anything is signed.
        _ = try await fixture.mint.store.closeEpoch(at: fixture.time.now)
        try await fixture.reopen()
        _ = try await fixture.issue([4])
        try await fixture.mint.proveLiabilities()
        let second = try statement(
            String(decoding: try await fixture.mint.liabilityStatement(epoch: "2"), as: UTF8.self)
        )
        #expect(second.previous == (try LiabilityStatement.digest(of: json(first).requireObject())))
        #expect(second.keysets.first?.issued.sum == 8)
        fixture.time.advance(seconds: 3600)
        try await fixture.mint.proveLiabilities()
        let third = try statement(
            String(decoding: try await fixture.mint.liabilityStatement(epoch: nil), as: UTF8.self)
        )
        #expect(third.epoch == 3 && third.keysets.first?.issued.sum == 12)
        try third.requireFollows(second)
        #expect(try await fixture.mint.liabilityStatement(epoch: "1") == first)
        // A clock that goes back makes no epoch that is older than the one before.
        fixture.time.advance(seconds: -10_000)
        let fourth = try statement(try await fixture.mint.closeEpoch())
        #expect(fourth.closedAt == third.closedAt)
        try fourth.requireFollows(third)
    }

    @Test("[POL-10] Trees of the last epochs are shown, older ones and nonsense are 404, over HTTP too")
    func routes() async throws {
        let fixture = try await MintFixture()
        let keyset = try fixture.keyset().id.hex
        _ = try await fixture.issue([8])
        for _ in 0..<10 { _ = try await fixture.mint.closeEpoch() }
        let mint = try fixture.mint
        for (epoch, isThere) in [("1", false), ("2", false), ("3", true), ("10", true), ("11", false)] {
            let found = await status { try await mint.liabilityIndex(epoch: epoch, keyset: keyset, side: "issued") }
            #expect(found == (isThere ? nil : 404), "epoch \(epoch)")
        }
        for (epoch, keyset, side, page) in [
            ("10", keyset, "issued", "1"), ("10", keyset, "issued", "-1"), ("10", keyset, "lost", "0"),
            ("10", "00ffffffffffffff", "issued", "0"), ("x", keyset, "issued", "0"),
            ("10", keyset, "issued", "99999999999999999999"),
        ] {
            let found = await status {
                try await mint.liabilityPage(epoch: epoch, keyset: keyset, side: side, page: page)
            }
            #expect(found == 404, "\(epoch) \(side) \(page)")
        }
        try await fixture.serve { client in
            let latest = try await client.get(beside: "liabilities")
            #expect(latest.status == 200)
            #expect(latest.json["epoch"]?.stringValue == "10")
            #expect(try await client.get(beside: "liabilities/10").json == latest.json)
            #expect(try await client.get(beside: "liabilities/10/\(keyset)/issued").json.array("pages").count == 1)
            let page = try await client.get(beside: "liabilities/10/\(keyset)/issued/0")
            #expect(try page.json.array("entries").count == 1)
            #expect(try await client.get(beside: "liabilities/99").status == 404)
        }
    }
}
