internal import Cryptography
internal import Encodings
internal import Libp2p
internal import Market
internal import SignedDocuments

/// What one node thinks of others: how long one call more takes, and all from nothing.
struct ReputationBenchmark {
    var receipts = 100_000
    var nodes = 1_000
    var updates = 500

    func run() throws -> [Measure] {
        var random = SplitMix(seed: 5)
        let dids = try (0..<nodes).map { number in
            let seed = [UInt8](repeating: 1, count: 30) + [UInt8(number >> 8), UInt8(number & 0xFF)]
            return DIDKey(try Ed25519.PrivateKey(seed: seed).publicKey)
        }
        func call(_ number: Int, by judge: Int? = nil) -> SettledCall {
            // One in three hundred is the viewer's own.
            let judge = judge ?? (number % 300 == 0 ? 0 : Int.random(in: 0..<nodes, using: &random))
            let other = Int.random(in: 0..<(nodes - 1), using: &random)
            return SettledCall(
                role: .selling,
                judge: dids[judge],
                judged: dids[other < judge ? other : other + 1],
                outcome: Int.random(in: 0..<20, using: &random) == 0 ? .failed : .good,
                at: Timestamp(secondsSince1970: 1_795_219_200 + Int64(number) * 60)
            )
        }
        var reputation = Reputation(viewers: [dids[0]], seeds: Array(dids[1...3]))
        reputation.record((0..<receipts).map { call($0) })
        func times(by judge: Int?) throws -> [Double] {
            try (0..<updates).map { number in
                let next = call(receipts + number, by: judge)
                let begin = ContinuousClock.now
                try reputation.record(next)
                return begin.duration(to: .now).seconds * 1_000
            }.sorted()
        }
        let any = try times(by: nil), own = try times(by: 0)
        let whole = (0..<5).map { _ in
            let begin = ContinuousClock.now
            reputation.recompute()
            return begin.duration(to: .now).seconds
        }.sorted()
        let note = "\(receipts) receipts of \(nodes) nodes"
        return [
            Measure(name: "reputation-update-p50", value: any[updates / 2], unit: "ms", note: note),
            Measure(
                name: "reputation-update-max",
                value: any[updates - 1],
                unit: "ms",
                note: "\(note); the goal is 5 ms"
            ),
            Measure(
                name: "reputation-own-update-max",
                value: own[updates - 1],
                unit: "ms",
                note: "a call of the viewer's own, which moves the most; the goal is 5 ms"
            ),
            Measure(name: "reputation-recompute", value: whole[4], unit: "s", note: "\(note); the goal is 2 s"),
        ]
    }
}
extension Duration {
    fileprivate var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
