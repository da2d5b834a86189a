import Cashu
import Cryptography
import Encodings

@testable import Market

/// A mint in memory that keeps to the spending rules of NUT-11 and NUT-14, answers a repeated swap as before, and shows witnesses (NUT-07).
struct MemoryMint {
    let keyset: MintKeyset
    let url: MintURL
    /// Its clock, seconds since 1970.
    var now: UInt64
    private(set) var issued: UInt64 = 0
    private(set) var fees: UInt64 = 0
    private var spent: [[UInt8]: String?] = [:]
    private var signed: [Secp256k1.Point: BlindSignature] = [:]

    init(feePPK: UInt64 = 100, now: UInt64) throws {
        keyset = try MintKeyset(
            seed: [UInt8](repeating: 7, count: 32),
            unit: .sat,
            counter: 0,
            inputFeePPK: feePPK
        )
        url = try MintURL("https://mint.example")
        self.now = now
    }

    /// As a seller that trusts it knows it.
    var known: EscrowMint {
        var info = MintInfo()
        info.setSupported(7, 10, 11, 12, 14)
        info.time = now
        return EscrowMint(url: url, isTrusted: true, info: info, keysets: [keyset.id: keyset.keyset])
    }

    /// Money out of nothing, which the mint owes from then on.
    mutating func issue(_ outputs: [BlindedMessage]) throws -> [BlindSignature] {
        try outputs.map { output in
            if let before = signed[output.blindedSecret] { return before }
            let signature = try keyset.sign(output)
            signed[output.blindedSecret] = signature
            issued += output.amount
            return signature
        }
    }

    mutating func swap(_ inputs: [Proof], _ outputs: [BlindedMessage]) throws -> [BlindSignature] {
        let points = try inputs.map { try keyset.verify($0).compressed }
        let before = outputs.compactMap { signed[$0.blindedSecret] }
        if before.count == outputs.count, points.allSatisfy({ spent[$0] != nil }) { return before }
        guard before.isEmpty else { throw MintError(.outputsAlreadySigned, "signed") }
        guard points.allSatisfy({ spent[$0] == nil }) else { throw MintError(.proofsAlreadySpent, "spent") }
        guard Set(points).count == points.count else { throw MintError(.duplicateInputs, "twice") }
        try SpendingCheck.verify(inputs: inputs, outputs: outputs, now: now)
        let fee = try Fees.total(inputs: inputs.count, feePPK: keyset.info.inputFeePPK)
        let paid = try Amounts.sum(inputs.map(\.amount))
        guard try Amounts.sum(outputs.map(\.amount)) + fee == paid else {
            throw MintError(.transactionNotBalanced, "unbalanced")
        }
        for (index, point) in points.enumerated() { spent[point] = .some(inputs[index].witness) }
        // With SIG_ALL the first witness is for all.
        if let first = inputs.first, SpendingCondition(ofSecret: first.secret)?.flag == .all {
            for point in points { spent[point] = .some(first.witness) }
        }
        fees += fee
        return try outputs.map { output in
            let signature = try keyset.sign(output)
            signed[output.blindedSecret] = signature
            return signature
        }
    }

    func states(_ coins: [LockedCoin]) throws -> [ProofState] {
        try coins.map { coin in
            let point = try Hex.decode(coin.y)
            guard let witness = spent[point] else { return ProofState(hashedSecret: point, state: .unspent) }
            return ProofState(hashedSecret: point, state: .spent, witness: witness)
        }
    }

    /// NUT-09: what it signed of these.
    func restored(_ outputs: [BlindedMessage]) -> UInt64 {
        outputs.reduce(0) { $0 + (signed[$1.blindedSecret]?.amount ?? 0) }
    }

    func fee(_ inputs: Int) throws -> UInt64 {
        try Fees.total(inputs: inputs, feePPK: keyset.info.inputFeePPK)
    }
}

/// Outputs that a party keeps before it sends them.
struct OutputPlan {
    let secrets: [BlindingSecret]
    let outputs: [BlindedMessage]

    /// - Parameter condition: nil for plain coins.
    init(_ amount: UInt64, mint: MemoryMint, locked condition: SpendingCondition? = nil) throws {
        secrets = try Amounts.split(amount).map { part in
            let nonce = Hex.encode(SecureRandom.bytes(16))
            return BlindingSecret(
                amount: part,
                keysetID: mint.keyset.id,
                secret: try condition?.secret(nonce: nonce).serialized() ?? nonce,
                blindingFactor: .random()
            )
        }
        outputs = try secrets.map { try $0.output() }
    }

    func proofs(_ signatures: [BlindSignature], _ mint: MemoryMint) throws -> [Proof] {
        try zip(secrets, signatures).map { try $0.proof(from: $1, keyset: mint.keyset.keyset) }
    }
}
