import CanonicalJSON
import Cashu
import Encodings
import Foundation
import Lightning
import Mint
import TestSupport
import Testing

/// Whatever is done to a mint, in whatever order and with restarts between, the coins its users hold are the coins
/// that it owes. `SOAK=1` runs a hundred times as long.
@Suite struct ConservationTests {
    private static let seeds: [UInt64] =
        ProcessInfo.processInfo.environment["SOAK"] == "1" ? Array(1...200) : [1, 2]

    @Test("Mints, swaps, melts of every outcome, rotations and restarts conserve value", arguments: seeds)
    func randomWalk(_ seed: UInt64) async throws {
        let fixture = try await MintFixture(MintConfiguration(units: [.init(unit: .sat, inputFeePPK: 100)]))
        var walk = Walk(fixture: fixture, random: SeededRandom(seed: seed))
        for step in 0..<60 {
            try await walk.step()
            let audit = try await fixture.mint.audit()
            #expect(audit.findings == [], "step \(step)")
            let owed = audit.keysets.reduce(0) { $0 + $1.outstanding }
            #expect(owed == walk.held + walk.inFlight, "step \(step)")
            #expect(audit.keysets.reduce(0) { $0 + $1.held } == walk.inFlight, "step \(step)")
        }
        #expect(walk.kinds.count >= 6)
    }

    /// A user who does one thing after the other and remembers what is theirs.
    private struct Walk {
        let fixture: MintFixture
        var random: SeededRandom
        var wallet: [Proof] = []
        var pending: [(quote: MeltQuote, request: String, inputs: [Proof], blanks: [BlindingSecret])] = []
        var kinds: Set<Int> = []

        var held: UInt64 { wallet.reduce(0) { $0 + $1.amount } }
        var inFlight: UInt64 { pending.reduce(0) { $0 + $1.inputs.reduce(0) { $0 + $1.amount } } }

        init(fixture: MintFixture, random: SeededRandom) {
            self.fixture = fixture
            self.random = random
        }

        mutating func step() async throws {
            let kind = Int.random(in: 0..<10, using: &random)
            kinds.insert(kind)
            switch kind {
            case 0, 1: try await mint()
            case 2, 3, 4: try await swap()
            case 5: try await melt(.settles(feeMsat: UInt64.random(in: 0...3000, using: &random)))
            case 6: try await melt(.fails)
            case 7: try await melt(.pends)
            case 8: try await resolve()
            default:
                if Bool.random(using: &random) { try await fixture.mint.rotate(.sat) }
                try await fixture.reopen()
                try await fixture.mint.recoverPendingMelts()
            }
        }

        private mutating func mint() async throws {
            let amount = UInt64.random(in: 1...500, using: &random)
            wallet += try await fixture.issue(Amounts.split(amount))
        }

        /// Up to four coins at random, taken out of the wallet.
        private mutating func take() -> [Proof] {
            wallet.shuffle(using: &random)
            let taken = Array(wallet.suffix(Int.random(in: 1...4, using: &random)))
            wallet.removeLast(taken.count)
            return taken
        }

        private mutating func swap() async throws {
            let inputs = take()
            let total = inputs.reduce(0) { $0 + $1.amount }
            let fee = try Fees.total(inputs: inputs.count, feePPK: 100)
            guard total > fee else {
                wallet += inputs
                return
            }
            let secrets = try fixture.secrets(Amounts.split(total - fee))
            let body = try fixture.swapBody(inputs, secrets)
            if Bool.random(using: &random) {
                wallet += try fixture.unblind(try await fixture.mint.swap(body), secrets)
                return
            }
            // The answer is lost: the retry gives it again, and so does a restore.
            let answered = try await fixture.mint.swap(body)
            #expect(try await fixture.mint.swap(body) == answered)
            let request = RestoreRequest(outputs: try secrets.map { try $0.output() })
            let answer = try await fixture.mint.restore(request.json.serialized())
            let keysets = try fixture.mint.allKeysets
            wallet += try RestoreResponse(json: .parse(answer, limits: .amounts))
                .proofs(for: secrets) { id in keysets.first { $0.id == id } }.map(\.proof)
        }

        private mutating func melt(_ behaviour: TestLightning.Payment) async throws {
            let inputs = take()
            let total = inputs.reduce(0) { $0 + $1.amount }
            let fee = try Fees.total(inputs: inputs.count, feePPK: 100)
            guard total > fee + 3 else {
                wallet += inputs
                return
            }
            let (quote, request) = try await fixture.meltQuote((total - fee - 2) * 9 / 10 + 1)
            let blanks = try fixture.secrets(Array(repeating: 1, count: 10))
            fixture.lightning.set(behaviour)
            do {
                let answer = try await fixture.melt(quote, inputs, blanks: blanks)
                if answer.state == .paid { return try keep(answer, blanks) }
                pending.append((quote, request, inputs, blanks))
            } catch {
                // Refused or failed: the coins are still the user's.
                #expect(try await fixture.states(inputs).allSatisfy { $0 == .unspent })
                wallet += inputs
            }
        }

        private mutating func keep(_ quote: MeltQuote, _ blanks: [BlindingSecret]) throws {
            let keysets = try fixture.mint.allKeysets
            wallet += try quote.changeProofs(for: blanks) { id in keysets.first { $0.id == id } }
        }

        /// The backend comes to know how one pending payment ended.
        private mutating func resolve() async throws {
            guard let melt = pending.popLast() else { return }
            let settles = Bool.random(using: &random)
            let preimage = try fixture.lightning.preimage(melt.request)
            try fixture.lightning.setPayment(
                melt.request,
                settles ? .settled(preimage: preimage, feeMsat: 1000) : .failed(PaymentFailure(.noRoute, "no route"))
            )
            let quote = try await fixture.look(melt.quote)
            #expect(quote.state == (settles ? .paid : .unpaid))
            if settles { try keep(quote, melt.blanks) } else { wallet += melt.inputs }
        }
    }
}
