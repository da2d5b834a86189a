internal import Cashu
internal import Cryptography
internal import Encodings

/// One operation together with what it takes to speak to its mint.
struct Exchange: Sendable {
    let operation: Operation
    let made: [MadeOutput]
    /// This wallet's.
    let outputs: [BlindedMessage]
    let keyset: Keyset
    let client: any MintAPI

    /// What a mint gave for the outputs.
    struct Answer: Sendable {
        /// One an output, in order; nil for a blank output that was not needed.
        var signatures: [BlindSignature?]
        /// Signatures that are given again (NUT-09) may come without the proof that they are right.
        var needsDLEQ = true
        var preimage: String?
    }

    /// What it takes to sign an operation.
    struct Keys: Sendable {
        /// Those that may have to sign inputs.
        var inputs: [Secp256k1.Scalar] = []
        /// Of each quote that is minted, in order; nil for one that belongs to no key (NUT-20).
        var quotes: [Secp256k1.Scalar?] = []
    }

    /// Sends the operation.
    /// - Throws: `MintAPIError`.
    func send(keys: Keys) async throws -> Answer {
        switch operation.kind {
        case .mint, .batch:
            return Answer(signatures: try await checked(mint(keys: keys.quotes)))
        case .melt:
            let request = try MeltRequest(
                quote: operation.requiredQuote(),
                inputs: operation.inputs,
                outputs: outputs
            )
            return try await meltAnswer(requirePaid(client.melt(request)))
        case .swap, .lock, .receive, .share, .bond, .redeem, .refund:
            var inputs = operation.inputs
            let (before, after) = (operation.plan.othersBefore, operation.plan.othersAfter)
            let all = before + outputs + after
            for key in keys.inputs {
                do {
                    inputs = try SpendingSigner.sign(inputs: inputs, outputs: all, key: key)
                } catch {
                    throw MintAPIError(.refused(code: 0), "a coin cannot be signed: \(error)")
                }
            }
            let signatures = try await client.swap(SwapRequest(inputs: inputs, outputs: all))
            guard signatures.count == all.count else {
                throw MintAPIError(.unknown, "it gave \(signatures.count) signatures for \(all.count) outputs")
            }
            return Answer(signatures: try checked(Array(signatures[before.count...].dropLast(after.count))))
        }
    }

    /// Asks for the coins of paid quotes, signed where a quote has a key. Mints know one form of the signature or the
    /// other (NUT-20, and as amended); a mint that refuses one is shown the other.
    private func mint(keys: [Secp256k1.Scalar?]) async throws -> [BlindSignature] {
        let quotes = operation.mintQuotes
        guard !quotes.isEmpty, quotes.count == keys.count else {
            throw WalletError(.corrupt, "an operation of the wallet has lost its quote")
        }
        guard keys.contains(where: { $0 != nil }) else { return try await mint(quotes, signatures: nil) }
        func signatures(_ form: MintQuoteSignature.Form) throws -> [[UInt8]?] {
            try zip(quotes, keys).map { quote, key in
                try key.map { try MintQuoteSignature.sign(quote: quote, outputs: outputs, key: $0, form: form) }
            }
        }
        do {
            return try await mint(quotes, signatures: signatures(.plain))
        } catch let error as MintAPIError where error.code == MintErrorCode.mintSignatureInvalid.rawValue {
            return try await mint(quotes, signatures: signatures(.tagged))
        }
    }

    private func mint(_ quotes: [QuoteID], signatures: [[UInt8]?]?) async throws(MintAPIError) -> [BlindSignature] {
        guard operation.kind == .batch else {
            let signature = signatures?.first ?? nil
            return try await client.mint(MintRequest(quote: quotes[0], outputs: outputs, signature: signature))
        }
        return try await client.mintBatch(
            BatchMintRequest(quotes: quotes, outputs: outputs, signatures: signatures)
        )
    }

    private func checked(_ signatures: [BlindSignature]) throws(MintAPIError) -> [BlindSignature?] {
        guard signatures.count == outputs.count else {
            throw MintAPIError(.unknown, "it gave \(signatures.count) signatures for \(outputs.count) outputs")
        }
        return signatures
    }

    private func requirePaid(_ quote: MeltQuote) throws(MintAPIError) -> MeltQuote {
        switch quote.state {
        case .paid: return quote
        case .pending: throw MintAPIError(.unknown, "it is still paying the invoice")
        default: throw MintAPIError(.refused(code: 0), "it could not pay the invoice")
        }
    }

    /// What a paid melt gives back (NUT-08): the signatures stand in the order of the blank outputs, as many as were
    /// needed. A mint that tells of no change is asked for the outputs' signatures (NUT-09): its answer may be one that
    /// leaves the change out.
    func meltAnswer(_ quote: MeltQuote) async throws -> Answer {
        var signatures = [BlindSignature?](repeating: nil, count: outputs.count)
        var answer = Answer(signatures: signatures, preimage: quote.paymentPreimage)
        guard !outputs.isEmpty else { return answer }
        if let change = quote.change, !change.isEmpty, change.count <= outputs.count {
            for (place, signature) in change.enumerated() { signatures[place] = signature }
        } else {
            answer.needsDLEQ = false
            do {
                for (place, signature) in try await restored() { signatures[place] = signature }
            } catch let error as MintAPIError where error.code != nil {
                // The invoice is paid, and the mint gives nothing again. The counters are taken, so that a restore from
                // the words finds the change if it is ever told.
            }
        }
        answer.signatures = signatures
        return answer
    }

    /// The mint's word on each input, in order.
    func inputStates() async throws -> [ProofState] {
        var ys: [[UInt8]] = []
        for input in operation.inputs { ys.append(try input.hashedSecret().compressed) }
        let states = try await client.checkState(ys)
        guard states.count == ys.count, zip(states, ys).allSatisfy({ $0.hashedSecret == $1 }) else {
            throw MintAPIError(.unknown, "it did not answer for each coin it was asked about")
        }
        return states
    }

    /// The signatures on all outputs, where the mint gave them before with the very amounts that were asked.
    func restoredOutputs() async throws -> [BlindSignature?]? {
        let found = try await restored()
        var signatures: [BlindSignature?] = []
        for (place, output) in outputs.enumerated() {
            guard let signature = found[place], signature.amount == output.amount else { return nil }
            signatures.append(signature)
        }
        return signatures
    }

    private func restored() async throws -> [Int: BlindSignature] {
        let places = Dictionary(
            outputs.enumerated().map { ($0.element.blindedSecret, $0.offset) },
            uniquingKeysWith: { first, _ in first }
        )
        var found: [Int: BlindSignature] = [:]
        for entry in try await client.restore(outputs) {
            guard let place = places[entry.output.blindedSecret] else { continue }
            found[place] = entry.signature
        }
        return found
    }

    /// The coins that the signatures make, each checked.
    /// - Throws: `CashuError` where a signature is not one, or not for what was asked.
    func coins(from answer: Answer) throws -> [StoredCoin] {
        var coins: [StoredCoin] = []
        for (output, signature) in zip(made, answer.signatures) {
            guard let signature else { continue }
            var proof = try output.secret.proof(
                from: signature,
                keyset: keyset,
                requiresDLEQ: answer.needsDLEQ,
                acceptsOtherAmount: output.use == .change
            )
            proof.ephemeralKey = output.ephemeralKey
            coins.append(
                StoredCoin(
                    proof: proof,
                    y: try proof.hashedSecret().compressed,
                    mint: operation.mint,
                    unit: operation.unit,
                    feePPK: keyset.info.inputFeePPK,
                    seller: output.lock.flatMap { $0.key.isEmpty ? nil : $0.key },
                    locktime: output.lock?.locktime,
                    state: output.use == .send ? .sent : .unspent,
                    holder: output.use == .send ? operation.id : nil
                )
            )
        }
        return coins
    }
}
