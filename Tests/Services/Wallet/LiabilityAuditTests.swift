import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Liabilities
import Mint
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Wallet

/// The holder's side of `Specs/proof-of-liabilities.md`: an honest mint, and every lie that the wallet can see.
@Suite struct LiabilityAuditTests {
    /// A wallet with coins and a mint that has closed an epoch well after they were made.
    private func world(_ amount: UInt64 = 100) async throws -> (world: WalletWorld, alice: TestWallet) {
        let world = try await WalletWorld()
        let alice = try await world.funded(amount)
        world.time.advance(seconds: 1000)
        _ = try await world.mint.closeEpoch()
        return (world, alice)
    }

    /// The statement after a change, signed again by the mint's own key.
    private func resigned(
        _ json: JSONValue,
        by number: UInt8 = 3,
        _ change: (inout JSONObject) throws -> Void
    ) throws -> JSONValue {
        var document = try json.requireObject()
        _ = document.removeValue(forKey: "proof")
        try change(&document)
        return .object(
            try DataIntegrity.sign(
                document,
                by: WalletWorld.signer(number),
                created: Timestamp(secondsSince1970: 1_790_000_000)
            )
        )
    }

    private func errorCode(_ work: () async throws -> some Any) async -> WalletError.Code? {
        do {
            _ = try await work()
            return nil
        } catch {
            return (error as? WalletError)?.code
        }
    }

    @Test("[POL-9] Every coin is found as issued and not as spent; newer ones are counted apart; the chain is followed")
    func honest() async throws {
        let (world, alice) = try await world()
        let first = try await alice.wallet.auditLiabilities(of: world.url)
        #expect(first.findings == [])
        #expect(first.amountsProven == ["sat": 100] && first.coinsTooNew == 0 && first.coinsUnprovable == 0)
        #expect(first.signer == WalletWorld.signer(3).did.string && !first.followsKnown && first.epoch == 1)
        _ = try await alice.wallet.fund(32, at: world.url)
        let later = try await alice.wallet.auditLiabilities(of: world.url)
        #expect(later.findings == [] && later.coinsTooNew >= 1 && later.amountsProven["sat"] == 100)
        #expect(later.followsKnown)
        for _ in 0..<3 {
            world.time.advance(seconds: 1000)
            _ = try await world.mint.closeEpoch()
        }
        let last = try await alice.wallet.auditLiabilities(of: world.url)
        #expect(last.findings == [] && last.epoch == 4 && last.coinsTooNew == 0 && last.amountsProven["sat"] == 132)
    }

    @Test("[POL-9] A coin that is given away while the statement is made is no finding")
    func spentMeanwhile() async throws {
        let (world, alice) = try await world()
        let gate = world.api.holdNext("liabilities")
        async let report = alice.wallet.auditLiabilities(of: world.url)
        await gate.reached()
        _ = try await alice.wallet.send(40, at: world.url)
        world.time.advance(seconds: 1000)
        _ = try await world.mint.closeEpoch()
        gate.open()
        #expect(try await report.findings == [])
        #expect(try await report.epoch == 2)
    }

    @Test("[POL-11] The wallet asks for pages and never sends a key of a coin")
    func privacy() async throws {
        let (world, alice) = try await world()
        let asked = Asked()
        world.api.setTamper { path, json in
            asked.add(path)
            return json
        }
        _ = try await alice.wallet.auditLiabilities(of: world.url)
        #expect(asked.paths.first == "")
        let shape = /^(\/[0-9]+(\/[0-9a-f]{66}\/(issued|spent)(\/[0-9]{1,5})?)?)?$/
        #expect(asked.paths.allSatisfy { $0.wholeMatch(of: shape) != nil })
    }

    @Test("[POL-9] A coin that the mint leaves out, undervalues or calls spent is a finding, by whatever tree it signs")
    func lies() async throws {
        let (world, alice) = try await world()
        let coins = try await alice.database.read { try CoinStore.unspent(mint: world.url, in: $0) }
        let victim = try #require(coins.first).coin
        let blinded = try BlindingSecret(
            amount: victim.proof.amount,
            keysetID: victim.proof.keysetID,
            secret: victim.proof.secret,
            blindingFactor: Secp256k1.Scalar(bytes: try #require(victim.proof.dleq?.blindingFactor))
        ).output().blindedSecret.compressed
        let lies: [(side: String, words: String, entries: @Sendable ([LiabilityEntry]) -> [LiabilityEntry])] = [
            ("issued", "leaves out", { $0.filter { $0 != LiabilityEntry(key: blinded, amount: victim.proof.amount) } }),
            (
                "issued", "as one of 1048576",
                { entries in
                    let honest = LiabilityEntry(key: blinded, amount: victim.proof.amount)
                    return entries.filter { $0 != honest } + [LiabilityEntry(key: blinded, amount: 1_048_576)]
                }
            ),
            ("spent", "here unspent", { $0 + [LiabilityEntry(key: victim.y, amount: victim.proof.amount)] }),
        ]
        for lie in lies {
            // The whole side on one page, and a statement signed over it: a liar's tree, well-formed.
            let honest = try await allEntries(world, victim.proof.keysetID, lie.side)
            let page = try LiabilityPage(lie.entries(honest))
            let index = try LiabilityIndex([.init(from: [], node: page.node())])
            world.api.setTamper { path, json in
                if path.hasSuffix("/\(lie.side)") { return index.json }
                if path.hasSuffix("/\(lie.side)/0") { return page.json }
                guard path.isEmpty else { return json }
                return
                    (try? self.resigned(json) { document in
                        var keysets = try document.array("keysets")
                        var keyset = try keysets[0].requireObject()
                        keyset[lie.side] = index.root.json
                        let issued = try LiabilityNode(json: keyset.value("issued")).sum
                        let spent = try LiabilityNode(json: keyset.value("spent")).sum
                        keyset["outstanding"] = .string(String(issued - spent))
                        keysets[0] = .object(keyset)
                        document["keysets"] = .array(keysets)
                    }) ?? json
            }
            let report = try await alice.wallet.auditLiabilities(of: world.url)
            #expect(report.findings.count == 1 && report.findings[0].contains(lie.words), "\(report.findings)")
        }
        // What was found wrong is not remembered as right.
        world.api.setTamper(nil)
        #expect(try await alice.wallet.auditLiabilities(of: world.url).followsKnown == false)
    }

    private func allEntries(_ world: WalletWorld, _ keyset: KeysetID, _ side: String) async throws -> [LiabilityEntry] {
        world.api.setTamper(nil)
        let index = try LiabilityIndex(json: try await world.api.liabilities("/1/\(keyset.hex)/\(side)"))
        var entries: [LiabilityEntry] = []
        for page in index.lines.indices {
            entries += try LiabilityPage(
                json: try await world.api.liabilities("/1/\(keyset.hex)/\(side)/\(page)")
            ).entries
        }
        return entries
    }

    @Test("[POL-6] [POL-7] A signature, an index or a page that does not belong to the others is not relied on")
    func forgeries() async throws {
        // Seven coins, so that there are two pages.
        let (world, alice) = try await world(127)
        let forgeries: [@Sendable (String, JSONValue) -> JSONValue] = [
            { path, json in
                guard path.isEmpty, var document = json.objectValue else { return json }
                document["epoch"] = "7"
                return .object(document)
            },
            { path, json in
                guard path.hasSuffix("/issued"), var pages = json["pages"]?.arrayValue, pages.count > 1 else {
                    return json
                }
                pages.removeLast()
                return ["pages": .array(pages)]
            },
            { path, json in path.hasSuffix("/issued/0") ? ["entries": .array([])] : json },
            { path, _ in path.isEmpty ? ["type": "MintLiabilities"] : .null },
        ]
        for forgery in forgeries {
            world.api.setTamper(forgery)
            #expect(await errorCode { try await alice.wallet.auditLiabilities(of: world.url) } == .mintDishonest)
        }
    }

    @Test("[POL-8] Another signer, a rewritten past, or an epoch that went back is a finding once something was seen")
    func contradictions() async throws {
        let (world, alice) = try await world()
        #expect(try await alice.wallet.auditLiabilities(of: world.url).findings == [])
        world.time.advance(seconds: 1000)
        _ = try await world.mint.closeEpoch()
        let lies: [(words: String, lie: @Sendable (String, JSONValue) -> JSONValue)] = [
            ("signs with", { path, json in path.isEmpty ? (try? self.resigned(json, by: 4) { _ in }) ?? json : json }),
            (
                "rewritten",
                { path, json in
                    guard path.isEmpty else { return json }
                    return
                        (try? self.resigned(json) {
                            $0["previous"] = .string(MultihashDigest.ofBytes([1]))
                        }) ?? json
                }
            ),
            (
                "less issued",
                { path, json in
                    guard path.isEmpty else { return json }
                    return (try? self.resigned(json) { $0["keysets"] = .array([]) }) ?? json
                }
            ),
        ]
        for (words, lie) in lies {
            world.api.setTamper(lie)
            let findings = try await alice.wallet.auditLiabilities(of: world.url).findings
            #expect(findings.contains { $0.contains(words) }, "\(words): \(findings)")
        }
        world.api.setTamper(nil)
        let report = try await alice.wallet.auditLiabilities(of: world.url)
        #expect(report.findings == [] && report.followsKnown)
    }

    @Test("A mint without statements, and a wallet without coins, are said so")
    func nothing() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(0)
        #expect(await errorCode { try await alice.wallet.auditLiabilities(of: world.url) } == .notFound)
        _ = try await alice.wallet.fund(8, at: world.url)
        #expect(await errorCode { try await alice.wallet.auditLiabilities(of: world.url) } != nil)
    }
}

/// The paths that were asked for.
private final class Asked: Sendable {
    private let list = Mutex<[String]>([])
    func add(_ path: String) { list.withLock { $0.append(path) } }
    var paths: [String] { list.withLock { $0 } }
}
