internal import Cashu
internal import Gateway
internal import Mint
internal import Paywall
internal import Storage

/// The node's mint as its gateway holds ecash at it.
struct NodeHouseMint: HouseMint {
    let url: MintURL?
    private let store: any HoldingStore
    private let mint: Mint?

    /// - Parameters:
    ///   - store: the mint's, also where the mint itself is turned off.
    ///   - mint: nil where it is turned off.
    init(_ store: any HoldingStore, mint: Mint?, url: MintURL) {
        self.store = store
        self.mint = mint
        self.url = mint == nil ? nil : url
    }

    private var running: Mint {
        get throws {
            guard let mint else { throw GatewayError(.purseFailed, "the node's own mint is turned off") }
            return mint
        }
    }

    func recognise(_ proofs: [Proof]) async throws {
        do {
            try await running.recognise(proofs)
        } catch is MintError {
            throw CallRefusal(.invalidProof, "The mint did not sign one of the proofs. Nothing was taken.")
        } catch is SignatoryUnavailable {
            throw CallRefusal.keyUnavailable
        }
    }

    func hold(_ proofs: [Proof], ys: [[UInt8]], in connection: Connection) throws {
        do {
            try store.hold(proofs, ys: ys, in: connection)
        } catch let error as MintError {
            throw CallRefusal(
                .alreadySpent,
                "The mint did not take the payment: \(error.detail). Nothing was taken here."
            )
        }
    }

    func release(_ ys: [[UInt8]], in connection: Connection) throws {
        try store.release(ys, in: connection)
    }

    func redeem(_ batch: RedemptionBatch) async throws -> MintQuote {
        try await running.redeem(held: batch.ys, reference: batch.id)
    }

    /// Whether the mint holds exactly what the gateway took and has not redeemed.
    /// - Returns: a sentence for each thing that does not add up.
    static func audit(in connection: Connection) throws -> [String] {
        let held = "SELECT y FROM mint_proofs WHERE pending = 1 AND melt IS NULL"
        let taken = "SELECT y FROM gateway_proofs WHERE is_held_at_mint = 1 AND state IN ('held', 'due', 'sent')"
        var findings: [String] = []
        for (sql, sentence) in [
            ("\(held) EXCEPT \(taken)", "proofs are held at the mint that no call took"),
            // A batch whose proofs are spent, and that is about to end, stands in neither.
            (
                """
                \(taken) EXCEPT \(held) EXCEPT
                SELECT g.y FROM gateway_proofs g, mint_proofs m WHERE g.state = 'sent' AND m.y = g.y AND m.pending = 0
                """, "proofs were taken for calls that are not held at the mint"
            ),
        ] {
            let count = try connection.first("SELECT count(*) FROM (\(sql))")?.int(0) ?? 0
            if count > 0 { findings.append("\(count) \(sentence)") }
        }
        return findings
    }
}
