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
    /// Claims a token: swaps its coins for ones only this wallet knows.
    /// - Parameters:
    ///   - token: V3 or V4.
    ///   - keys: besides our own, keys it may be locked to.
    ///   - addsMint: trust the token's mint where it is not in the wallet yet.
    /// - Throws: `invalidToken`, `mintUnknown`, `tokenSpent`, `tokenLocked`, `belowFee`; `outcomeUnknown`: then `recover`
    ///   goes on with it.
    public func receive(
        _ token: String,
        keys: [Secp256k1.Scalar] = [],
        addsMint: Bool = false
    ) async throws -> [ReceivedToken] {
        let tokens: [Token]
        do {
            tokens = try Token.all(in: token.trimmingWhitespace())
        } catch {
            throw WalletError(.invalidToken, "this is not a token: \(error)", cause: error)
        }
        var received: [ReceivedToken] = []
        for token in tokens {
            received.append(try await receive(token, keys: keys, addsMint: addsMint))
        }
        return received
    }

    private func receive(_ token: Token, keys: [Secp256k1.Scalar], addsMint: Bool) async throws -> ReceivedToken {
        let mint = try MintURL(checking: token.mint.string, plainHTTPHosts: configuration.plainHTTPHosts)
        if addsMint, try await !mints().contains(mint) { try await addMint(mint.string) }
        let proofs = try await verified(token, at: mint)
        let signed = try sign(proofs, keys: keys)
        return try await claim(signed, at: mint, unit: token.unit, reference: nil)
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

    /// Adds the signatures that the locks ask for.
    private func sign(_ proofs: [Proof], keys given: [Secp256k1.Scalar]) throws -> [Proof] {
        var signed = proofs
        // What is signed for SIG_ALL covers outputs that are not made yet; our own key signs those when they are.
        if !proofs.contains(where: \.needsSignatureOverAll) {
            for key in given { signed = try SpendingSigner.sign(inputs: signed, outputs: [], key: key) }
        }
        let own = try keys.receiving()
        let now = UInt64(max(0, clock.now().secondsSince1970))
        for proof in signed where proof.witness == nil {
            guard case .conditional(let secret) = SecretKind(of: proof.secret) else { continue }
            guard let condition = try? P2PKCondition(secret: secret) else {
                throw WalletError(.tokenLocked, "the token is locked with a condition this wallet does not know")
            }
            let names = (condition.keys + (condition.refundKeys ?? [])).contains {
                $0.xOnly == Secp256k1.Point(multiplyingGeneratorBy: own).xOnly
            }
            let isFree = condition.hasExpired(now: now) && condition.refundKeys == nil
            guard names || isFree else {
                throw WalletError(.tokenLocked, "the token is locked to a key that this wallet does not have")
            }
        }
        return signed
    }

    /// Swaps coins that came from outside, in as many exchanges as it takes.
    func claim(_ proofs: [Proof], at mint: MintURL, unit: CurrencyUnit, reference: String?) async throws
        -> ReceivedToken
    {
        var received = ReceivedToken(mint: mint, unit: unit, amount: 0, fee: 0)
        for batch in proofs.chunks(of: configuration.maximumInputs) {
            let result = try await perform(at: mint, unit: unit) { planner, connection in
                try Self.refuseOwn(batch, in: connection)
                return try planner.claim(.receive, inputs: batch, reference: reference, in: connection)
            }
            received.amount = try Amounts.adding(received.amount, Amounts.sum(result.coins.map(\.proof.amount)))
            received.fee = try Amounts.adding(received.fee, result.operation.fee)
        }
        return received
    }

    /// A token of ours that did not leave must not be claimed twice over; one that left may come back.
    private static func refuseOwn(_ proofs: [Proof], in connection: Connection) throws {
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
    /// Whether its lock asks for a signature over the whole transaction (NUT-11 SIG_ALL).
    var needsSignatureOverAll: Bool {
        guard case .conditional(let secret) = SecretKind(of: self.secret) else { return false }
        return (try? P2PKCondition(secret: secret))?.flag == .all
    }
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
