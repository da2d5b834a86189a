public import Cashu
public import Cryptography
internal import Encodings
internal import Paywall
internal import Storage

/// What a token brought.
public struct ReceivedToken: Sendable, Equatable {
    public var mint: MintURL
    public var unit: CurrencyUnit
    /// What is in the wallet now, after the mint's fee.
    public var amount: UInt64
    public var fee: UInt64
}

extension Wallet {
    /// Claims a token: swaps its coins for ones only this wallet knows. It is in the inbox, on disk, before the mint hears
    /// of it; where the mint does not answer, it is claimed from there later.
    /// - Parameters:
    ///   - token: V3 or V4.
    ///   - keys: besides our own, keys it may be locked to.
    ///   - addsMint: trust the token's mint where it is not in the wallet yet.
    ///   - swapTo: send its value on to this mint, over Lightning; then the token's own mint need not be trusted.
    ///   - preimage: 32 bytes that open its hash lock (NUT-14).
    /// - Throws: `invalidToken`, `mintUnknown`, `mintUntrusted`, `tokenSpent`, `tokenLocked`, `belowFee`;
    ///   `outcomeUnknown` and `mintUnreachable`: then `recover` goes on with it.
    public func receive(
        _ token: String,
        keys: [Secp256k1.Scalar] = [],
        addsMint: Bool = false,
        swapTo: MintURL? = nil,
        preimage: [UInt8]? = nil
    ) async throws -> [ReceivedToken] {
        let tokens: [Token]
        do {
            tokens = try Token.all(in: token.trimmingWhitespace())
        } catch {
            throw WalletError(.invalidToken, "this is not a token: \(error)", cause: error)
        }
        var received: [ReceivedToken] = []
        for token in tokens {
            let arrival = Arrival(keys: keys, addsMint: addsMint, swapTo: swapTo, preimage: preimage)
            received.append(try await receive(token, arrival))
        }
        return received
    }

    private struct Arrival: Sendable {
        var keys: [Secp256k1.Scalar]
        var addsMint: Bool
        var swapTo: MintURL?
        var preimage: [UInt8]?
    }

    private func receive(_ token: Token, _ arrival: Arrival) async throws -> ReceivedToken {
        let mint = try MintURL(checking: token.mint.string, plainHTTPHosts: configuration.plainHTTPHosts)
        let swapTo = arrival.swapTo == mint ? nil : arrival.swapTo
        if let swapTo {
            try await requireTrust(in: swapTo)
            try await addUntrustedMint(mint)
        } else {
            if arrival.addsMint, try await !mints().contains(mint) { try await addMint(mint.string) }
            try await requireTrust(in: mint)
        }
        var token = token
        // Keys of others are not kept: what they sign is signed before the token is stored.
        if !arrival.keys.isEmpty {
            let signed = try sign(await verified(token, at: mint), keys: arrival.keys, preimage: arrival.preimage)
            token = try Token(mint: mint, unit: token.unit, memo: token.memo, proofs: signed)
        }
        if let swapTo { try await quoteSending(token, from: mint, to: swapTo) }
        let stored = token
        let now = clock.now()
        let entry = try await database.write { connection in
            try InboxStore.put(
                stored,
                at: mint,
                preimage: arrival.preimage,
                request: nil,
                swapTo: swapTo,
                now: now,
                in: connection
            )
        }
        guard entry.state == .waiting else {
            throw WalletError(.tokenSpent, "this wallet has claimed the token before")
        }
        let claimed = try await claimEntry(entry.id)
        if claimed.swapTo != nil {
            let swap = try await sendOn(claimed)
            let cost = claimed.amount > swap.amount ? claimed.amount - swap.amount : 0
            return ReceivedToken(mint: swap.target, unit: swap.unit, amount: swap.amount, fee: cost)
        }
        return ReceivedToken(mint: mint, unit: token.unit, amount: claimed.received, fee: claimed.fee)
    }

    /// Asks what swapping the token's value would come to, before it is claimed: where the fees would eat it, it stays
    /// untouched.
    private func quoteSending(_ token: Token, from mint: MintURL, to target: MintURL) async throws {
        let proofs = try await verified(token, at: mint)
        let planner = try OperationPlanner(
            terms: try await book.terms(mint),
            unit: token.unit,
            maximumInputs: configuration.maximumInputs,
            at: clock.now()
        )
        _ = try await quoteLargestSwap(
            budget: planner.netWorth(of: proofs).amount,
            from: mint,
            to: target,
            unit: token.unit,
            id: InboxStore.referencePrefix + InboxStore.id(of: token)
        )
    }

    /// The proofs of a token, with full keyset ids, and their DLEQ proofs found right where they are there.
    func verified(_ token: Token, at mint: MintURL) async throws -> [Proof] {
        var terms = try await book.terms(mint)
        let isKnown = token.groups.allSatisfy { group in
            (try? group.keyset.resolved(among: terms.keysets.keys)) != nil
        }
        if !isKnown { terms = try await book.refresh(mint) }
        let proofs: [Proof]
        do {
            proofs = try token.proofs(knownKeysets: terms.keysets.keys)
            for proof in proofs {
                let keyset = try terms.keyset(proof.keysetID)
                guard keyset.unit == token.unit else {
                    throw WalletError(.invalidToken, "the token says \(token.unit) and holds coins in \(keyset.unit)")
                }
                let key = try keyset.key(for: proof.amount)
                guard proof.dleq?.blindingFactor == nil || proof.hasValidDLEQ(mintKey: key) else {
                    throw WalletError(.invalidToken, "the token's proof of the mint's signature is wrong: it is forged")
                }
            }
        } catch let error as CashuError {
            throw WalletError(.invalidToken, "the token cannot be used: \(error.message)", cause: error)
        }
        guard Set(proofs.map { Array($0.secret.utf8) }).count == proofs.count else {
            throw WalletError(.invalidToken, "the token holds a coin twice")
        }
        return proofs
    }

    /// Adds the preimage and the signatures that the locks ask for. Our own key signs when the coins leave, since that
    /// may cover outputs which are not made yet; here it is made sure that it can.
    func sign(_ proofs: [Proof], keys given: [Secp256k1.Scalar], preimage: [UInt8]?) throws -> [Proof] {
        var signed = try preimage.map { try SpendingSigner.reveal(preimage: $0, in: proofs) } ?? proofs
        // What is signed for SIG_ALL covers outputs that are not made yet; our own key signs those when they are.
        if !proofs.contains(where: \.needsSignatureOverAll) {
            for key in given { signed = try SpendingSigner.sign(inputs: signed, outputs: [], key: key) }
        }
        let own = try keys.receiving()
        let now = UInt64(max(0, clock.now().secondsSince1970))
        for proof in signed {
            guard case .conditional = SecretKind(of: proof.secret) else { continue }
            guard let condition = SpendingCondition(ofSecret: proof.secret) else {
                throw WalletError(.tokenLocked, "the token is locked with a condition this wallet does not know")
            }
            let isFree = condition.hasExpired(now: now) && condition.refundKeys == nil
            let canRefund = condition.hasExpired(now: now) && names(own, condition.refundKeys ?? [], proof, condition)
            guard !isFree, !canRefund else { continue }
            if condition.hash != nil, try !P2PKWitness(proof.witness ?? "{\"signatures\":[]}").opens(condition) {
                throw WalletError(
                    .tokenLocked,
                    preimage == nil
                        ? "the token opens with a preimage only: give it with --preimage"
                        : "this is not the preimage of the token's lock"
                )
            }
            let isSigned = try proof.witness.map { try !P2PKWitness($0).signatures.isEmpty } ?? false
            guard condition.keys.isEmpty || isSigned || names(own, condition.keys, proof, condition) else {
                throw WalletError(.tokenLocked, "the token is locked to a key that this wallet does not have")
            }
        }
        return signed
    }

    /// Whether `key` stands among the keys of a lock, as it is or blinded (NUT-28).
    private func names(
        _ key: Secp256k1.Scalar,
        _ keys: [Secp256k1.Point],
        _ proof: Proof,
        _ condition: SpendingCondition
    ) -> Bool {
        if let ephemeral = proof.ephemeralKey {
            let own = (try? P2BK.keys(of: key, for: condition, ephemeralKey: ephemeral)) ?? []
            let points = own.map { Secp256k1.Point(multiplyingGeneratorBy: $0).xOnly }
            if keys.contains(where: { points.contains($0.xOnly) }) { return true }
        }
        let x = Secp256k1.Point(multiplyingGeneratorBy: key).xOnly
        return keys.contains { $0.xOnly == x }
    }

    /// Swaps coins that came from outside, in as many exchanges as it takes; the same again, also after a kill in the
    /// middle, goes on with what is left.
    /// - Parameter reference: what they are claimed for. Only the last exchange carries it as it is, so that what waits for
    ///   it is over when all the coins are in; those before carry it with a number.
    func claim(_ proofs: [Proof], at mint: MintURL, unit: CurrencyUnit, reference: String) async throws
        -> ReceivedToken
    {
        var received = ReceivedToken(mint: mint, unit: unit, amount: 0, fee: 0)
        let batches = proofs.chunks(of: configuration.maximumInputs)
        var failure: WalletError?
        for (place, batch) in batches.enumerated() {
            let isLast = place == batches.count - 1
            let own = isLast ? reference : Operation.reference(reference, batch: place)
            let result: OperationResult
            do {
                result = try await perform(at: mint, unit: unit) { planner, connection in
                    if let other = try Operation.live(reference: own, in: connection) {
                        throw AlreadyClaiming(operation: other)
                    }
                    try Self.refuseOwn(batch, in: connection)
                    return try planner.claim(.receive, inputs: batch, reference: own, in: connection)
                }
            } catch let other as AlreadyClaiming {
                result = try await runner.run(other.operation, isFresh: false)
            } catch let error as WalletError where error.code == .tokenSpent && !isLast {
                // The rest may be there all the same.
                failure = error
                continue
            }
            received.amount = try Amounts.adding(received.amount, Amounts.sum(result.coins.map(\.proof.amount)))
            received.fee = try Amounts.adding(received.fee, result.operation.fee)
        }
        if let failure { throw failure }
        return received
    }

    /// Another call claims these coins for the same, or has claimed them.
    private struct AlreadyClaiming: Error { var operation: Operation }

    /// A token of ours that did not leave must not be claimed twice over; one that left may come back.
    static func refuseOwn(_ proofs: [Proof], in connection: Connection) throws {
        for proof in proofs {
            let y = try proof.hashedSecret().compressed
            guard let coin = try CoinStore.find(y, in: connection) else { continue }
            guard coin.state == .sent || coin.state == .spent else {
                throw WalletError(.invalidToken, "the token's coins are in this wallet already")
            }
        }
    }
}

extension Proof {
    /// Whether its lock asks for a signature over the whole transaction (NUT-11 and 14, SIG_ALL).
    var needsSignatureOverAll: Bool {
        SpendingCondition(ofSecret: secret)?.flag == .all
    }
}

extension P2PKWitness {
    fileprivate func opens(_ condition: SpendingCondition) -> Bool { condition.isOpened(by: preimage) }
}

extension String {
    fileprivate func trimmingWhitespace() -> String {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\n" || $0 == "\r" || $0 == "\t" || $0 == "\r\n" }
        return String(drop(while: isSpace).reversed().drop(while: isSpace).reversed())
    }
}

extension Array {
    /// The elements in order, in pieces of at most `size`.
    func chunks(of size: Int) -> [[Element]] {
        stride(from: 0, to: count, by: Swift.max(1, size)).map {
            Array(self[$0..<Swift.min($0 + Swift.max(1, size), count)])
        }
    }
}
