internal import Cashu
internal import Cryptography
internal import Encodings

/// One operation together with what it takes to speak to its mint.
struct Exchange: Sendable {
    let operation: Operation
    let made: [MadeOutput]
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

    /// Sends the operation.
    /// - Throws: `MintAPIError`.
    func send(keys: [Secp256k1.Scalar]) async throws -> Answer {
        switch operation.kind {
        case .mint:
            return Answer(signatures: try await checked(mint(key: keys.first)))
        case .melt:
            let request = try MeltRequest(
                quote: operation.requiredQuote(),
                inputs: operation.inputs,
                outputs: outputs
            )
            return try await meltAnswer(requirePaid(client.melt(request)))
        case .swap, .lock, .receive, .redeem, .refund:
            var inputs = operation.inputs
            for key in keys {
                do {
                    inputs = try SpendingSigner.sign(inputs: inputs, outputs: outputs, key: key)
                } catch {
                    throw MintAPIError(.refused(code: 0), "a coin cannot be signed: \(error)")
                }
            }
            return Answer(signatures: try await checked(client.swap(SwapRequest(inputs: inputs, outputs: outputs))))
        }
    }

    /// Asks for a paid quote's coins, signed where the quote has a key. Mints know one form of the signature or the other
    /// (NUT-20, and as amended); a mint that refuses one is shown the other.
    private func mint(key: Secp256k1.Scalar?) async throws -> [BlindSignature] {
        let quote = try operation.requiredQuote()
        guard let key else { return try await client.mint(MintRequest(quote: quote, outputs: outputs)) }
        func request(_ form: MintQuoteSignature.Form) throws -> MintRequest {
            let signature = try MintQuoteSignature.sign(quote: quote, outputs: outputs, key: key, form: form)
            return MintRequest(quote: quote, outputs: outputs, signature: signature)
        }
        do {
            return try await client.mint(request(.plain))
        } catch let error as MintAPIError where error.code == MintErrorCode.mintSignatureInvalid.rawValue {
            return try await client.mint(request(.tagged))
        }
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
    /// needed.
    func meltAnswer(_ quote: MeltQuote) async throws -> Answer {
        var signatures = [BlindSignature?](repeating: nil, count: outputs.count)
        if let change = quote.change, change.count <= outputs.count {
            for (place, signature) in change.enumerated() { signatures[place] = signature }
        } else if !outputs.isEmpty {
            for (place, signature) in try await restored() { signatures[place] = signature }
        }
        return Answer(signatures: signatures, needsDLEQ: quote.change != nil, preimage: quote.paymentPreimage)
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
