import Cashu
import Cryptography
import Encodings
import Foundation
import SignedDocuments
import TestSupport

@testable import Market

/// What a party of a run does that it should not.
enum Mischief: CaseIterable {
    case none
    /// The provider seals other bytes than it signs, and claims.
    case garbage
    /// The provider has the lock and never claims it.
    case neverClaims
    /// The provider never serves.
    case neverServes
    /// The buyer never locks any money.
    case neverFunds
    /// The buyer hides once it has the answer: neither releases nor complains.
    case hides
    /// The buyer complains of an answer that is good.
    case complains
}

/// One job from its acceptance to its end, with a mint in memory, messages that are lost, doubled and late, parties that crash in
/// every state and come back with what they had saved, and clocks that differ.
struct JobRun {
    enum Message {
        case askDelivery(chunk: UInt64)
        case delivery(Signed<Delivery>, [UInt8])
        case lock([Proof], chunk: UInt64)
        case key([UInt8], chunk: UInt64)
        case planned(Signed<PlannedOutputs>)
        /// Witness of one signature for the planned swap.
        case signature(String)
        case escalation(Signed<Escalation>, Signed<Delivery>?, [Proof])
        case disputed
        case ruling(Signed<Ruling>)
        /// The arbiter's witness, and the outputs that it signed.
        case ruled(String, [BlindedMessage])
    }

    enum Party: Int, CaseIterable { case buyer, provider, arbiter }

    /// What a party keeps: its engine as text, and what it keeps beside.
    struct Disk<Engine: Codable> {
        private(set) var saved: Data?

        var engine: Engine? { saved.flatMap { try? JSONDecoder().decode(Engine.self, from: $0) } }

        mutating func save(_ engine: Engine) throws { saved = try JSONEncoder().encode(engine) }
    }

    let sample: TradeSample
    let terms: EscrowTerms
    let job: [UInt8]
    let mischief: Mischief
    var random: SeededRandom
    var mint: MemoryMint
    var mail: [(to: Party, at: UInt64, message: Message)] = []
    /// Each party's clock against the mint's: within the half minute that is allowed.
    var skew: [Int64] = []
    var downUntil: [UInt64] = [0, 0, 0]
    var mintDownUntil: UInt64 = 0
    var endings: [Party: [EscrowEnding]] = [:]

    // Disks.
    var buyer = Disk<EscrowBuyer>()
    var provider = Disk<EscrowProvider>()
    var arbiter = Disk<EscrowArbiter>()
    var beside: [UInt64: [UInt8]] = [:]
    var locks: [UInt64: OutputPlan] = [:]
    var lockProofs: [UInt64: [Proof]] = [:]
    var refunds: [String: OutputPlan] = [:]
    var buyerPart: OutputPlan?
    var buyerDelivery: Signed<Delivery>?
    var plannedByProvider: Signed<PlannedOutputs>?
    var ruledForBuyer: (String, [BlindedMessage])?
    var deliveries: [UInt64: (Signed<Delivery>, [UInt8])] = [:]
    var taken: [UInt64: [Proof]] = [:]
    var claims: [UInt64: OutputPlan] = [:]
    var providerPart: OutputPlan?
    var releaseSignature: String?
    var ruledForProvider: (String, [BlindedMessage])?
    var arbiterProofs: [Proof] = []
    var ruling: Signed<Ruling>?

    init(seed: UInt64, mode: Listing.Escrow, mischief: Mischief) throws {
        random = SeededRandom(seed: seed)
        sample = try TradeSample()
        let quote = try sample.quote(mode)
        let acceptance = try sample.acceptance(quote)
        terms = try EscrowTerms(quote: quote, acceptance: acceptance)
        job = acceptance.digest
        self.mischief = mischief
        mint = sample.mint
        skew = Party.allCases.map { _ in Int64.random(in: -29...29, using: &random) }
        try buyer.save(EscrowBuyer(terms))
        try provider.save(EscrowProvider(terms))
    }

    private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    private func clock(_ party: Party) -> UInt64 { UInt64(Int64(mint.now) + skew[party.rawValue]) }

    private mutating func send(_ message: Message, to party: Party) {
        for _ in 0..<(chance(10) ? 2 : 1) where !chance(15) {
            mail.append((party, mint.now + UInt64.random(in: 0...(chance(10) ? 200 : 3), using: &random), message))
        }
    }

    /// Runs until every party has ended, or a day is over.
    mutating func run() throws {
        let end = mint.now + 86_400
        while mint.now < end, buyer.engine?.ending == nil || provider.engine?.ending == nil {
            mint.now += UInt64.random(in: 1...(chance(10) ? 120 : 20), using: &random)
            if chance(4) { mintDownUntil = mint.now + UInt64.random(in: 1...180, using: &random) }
            for party in Party.allCases where chance(4) {
                downUntil[party.rawValue] = mint.now + UInt64.random(in: 1...400, using: &random)
            }
            let due = mail.filter { $0.at <= mint.now }
            mail.removeAll { $0.at <= mint.now }
            for item in due where downUntil[item.to.rawValue] <= mint.now { try receive(item.message, item.to) }
            for party in Party.allCases where downUntil[party.rawValue] <= mint.now { try act(party) }
            for (party, ending) in [(Party.buyer, buyer.engine?.ending), (.provider, provider.engine?.ending)] {
                guard let ending, endings[party]?.last != ending else { continue }
                endings[party, default: []].append(ending)
            }
        }
    }

    /// The mint's answer, where it is up; it may do what was asked and its answer be lost.
    private mutating func atMint<Answer>(_ body: (inout MemoryMint) throws -> Answer) -> Answer? {
        guard mintDownUntil <= mint.now else { return nil }
        let answer = try? body(&mint)
        return chance(10) ? nil : answer
    }

    // MARK: Taking events in: saved before anything else is done.

    private mutating func give(_ event: EscrowBuyer.Event) throws -> [EscrowBuyer.Action] {
        guard var engine = buyer.engine else { return [] }
        guard let actions = try? engine.take(event, at: clock(.buyer)) else { return [] }
        try buyer.save(engine)
        return actions
    }

    private mutating func give(_ event: EscrowProvider.Event) throws -> [EscrowProvider.Action] {
        guard var engine = provider.engine else { return [] }
        guard let actions = try? engine.take(event, at: clock(.provider)) else { return [] }
        try provider.save(engine)
        return actions
    }

    private mutating func give(_ event: EscrowArbiter.Event) throws -> [EscrowArbiter.Action] {
        guard var engine = arbiter.engine else { return [] }
        guard let actions = try? engine.take(event, at: clock(.arbiter)) else { return [] }
        try arbiter.save(engine)
        return actions
    }

    private mutating func receive(_ message: Message, _ party: Party) throws {
        switch (party, message) {
        case (.buyer, .delivery(let delivery, let bytes)):
            guard beside[delivery.content.index] == nil || terms.mode == .arbiter else { return }
            beside[delivery.content.index] = bytes
            if buyerDelivery == nil { buyerDelivery = delivery }
            _ = try give(.delivered(delivery, beside: bytes) as EscrowBuyer.Event)
        case (.buyer, .key(let key, let chunk)):
            guard buyer.engine?.chunk == chunk else { return }
            _ = try give(.key(key, beside: beside[chunk] ?? []) as EscrowBuyer.Event)
        case (.buyer, .planned(let planned)): plannedByProvider = planned
        case (.buyer, .ruling(let ruling)): _ = try give(.ruled(ruling) as EscrowBuyer.Event)
        case (.buyer, .ruled(let witness, let outputs)): ruledForBuyer = (witness, outputs)
        case (.provider, .askDelivery(let chunk)):
            if let (delivery, bytes) = deliveries[chunk] { send(.delivery(delivery, bytes), to: .buyer) }
        case (.provider, .lock(let proofs, let chunk)): try lock(proofs, chunk)
        case (.provider, .signature(let witness)):
            releaseSignature = witness
            _ = try give(.released as EscrowProvider.Event)
        case (.provider, .disputed): _ = try give(.disputed as EscrowProvider.Event)
        case (.provider, .ruling(let ruling)): _ = try give(.ruled(ruling) as EscrowProvider.Event)
        case (.provider, .ruled(let witness, let outputs)): ruledForProvider = (witness, outputs)
        case (.arbiter, .escalation(let said, let delivery, let proofs)): try open(said, delivery, proofs)
        case (.arbiter, .planned(let planned)): _ = try give(.outputs(planned) as EscrowArbiter.Event)
        default: break
        }
    }

    private mutating func lock(_ proofs: [Proof], _ chunk: UInt64) throws {
        guard let engine = provider.engine else { return }
        if engine.isKeyFree(chunk: chunk) { return send(.key(key(chunk), chunk: chunk), to: .buyer) }
        guard engine.chunk == chunk, engine.coins.isEmpty, engine.phase == .delivered || engine.phase == .awaitingLock
        else {
            return
        }
        let token = try Token(mint: mint.url, unit: .sat, proofs: proofs)
        let hash = try engine.lock.map { try Hex.decode($0) }
        let found = LockCheck.obstacles(token, terms: terms, hash: hash, mint: mint.known, now: clock(.provider))
        let coins = try proofs.map { try LockedCoin($0) }
        guard found.isEmpty, let states = atMint({ try $0.states(coins) }), LockCheck.isUnspent(states, of: coins)
        else {
            return
        }
        taken[chunk] = proofs
        _ = try give(.locked(coins) as EscrowProvider.Event)
    }

    private mutating func open(_ said: Signed<Escalation>, _ delivery: Signed<Delivery>?, _ proofs: [Proof]) throws {
        if arbiter.saved == nil {
            let total = try Amounts.sum(proofs.map(\.amount))
            arbiterProofs = proofs
            try arbiter.save(EscrowArbiter(terms, net: total - mint.fee(proofs.count), at: clock(.arbiter)))
        }
        _ = try give(.escalated(said) as EscrowArbiter.Event)
        if let delivery { _ = try give(.shown(delivery) as EscrowArbiter.Event) }
    }

    // MARK: Doing what the engines say

    private mutating func act(_ party: Party) throws {
        switch party {
        case .buyer:
            for action in try give(.tick as EscrowBuyer.Event) where !chance(5) { try perform(action) }
        case .provider:
            for action in try give(.tick as EscrowProvider.Event) where !chance(5) { try perform(action) }
        case .arbiter:
            for action in try give(.tick as EscrowArbiter.Event) where !chance(5) { try perform(action) }
        }
    }

    private mutating func perform(_ action: EscrowBuyer.Action) throws {
        let chunk = buyer.engine?.chunk ?? 0
        switch action {
        case .askDelivery(let chunk): send(.askDelivery(chunk: chunk), to: .provider)
        case .lock(let chunk):
            guard mischief != .neverFunds else { return }
            if locks[chunk] == nil {
                let hash = try buyer.engine?.lock.map { try Hex.decode($0) }
                let amount = try terms.lockAmount(inputFeePPK: mint.keyset.info.inputFeePPK)
                locks[chunk] = try OutputPlan(amount, mint: mint, locked: terms.condition(hash: hash))
            }
            try makeLock(chunk)
        case .findLock(let chunk):
            guard let plan = locks[chunk] else { return _ = try give(.lockFailed as EscrowBuyer.Event) }
            guard let found = atMint({ $0.restored(plan.outputs) }) else { return }
            if found > 0 { try makeLock(chunk) } else { _ = try give(.lockFailed as EscrowBuyer.Event) }
        case .sendLock(let chunk):
            if let proofs = lockProofs[chunk] { send(.lock(proofs, chunk: chunk), to: .provider) }
        case .askMint:
            guard let coins = buyer.engine?.coins, let states = atMint({ try $0.states(coins) }) else { return }
            _ = try give(.states(states, beside: beside[chunk] ?? []) as EscrowBuyer.Event)
        case .refund: try refund(chunk)
        case .restore:
            let plans = Array(refunds.values) + [buyerPart].compactMap(\.self)
            guard let amount = atMint({ mint in plans.reduce(0) { $0 + mint.restored($1.outputs) } }) else { return }
            _ = try give(.restored(amount) as EscrowBuyer.Event)
        case .judge: try judge()
        case .release:
            guard let planned = plannedByProvider?.content, let proofs = lockProofs[0] else { return }
            let signed = try SpendingSigner.sign(inputs: proofs, outputs: planned.outputs, key: sample.buyerKey)
            if let witness = signed[0].witness { send(.signature(witness), to: .provider) }
        case .escalate(let reason):
            let said = Escalation(
                party: TradeSample.buyer.did,
                job: job,
                delivery: nil,
                reason: reason,
                time: clock(.buyer)
            )
            let signed = try sign(said, TradeSample.buyer)
            send(.escalation(signed, buyerDelivery, lockProofs[0] ?? []), to: .arbiter)
            send(.disputed, to: .provider)
        case .claimRuling(let amount):
            if buyerPart == nil { buyerPart = try OutputPlan(amount, mint: mint) }
            try plan(buyerPart, TradeSample.buyer)
            if let ruledForBuyer { try swapRuled(ruledForBuyer, lockProofs[0] ?? [], sample.buyerKey) }
        }
    }

    private mutating func makeLock(_ chunk: UInt64) throws {
        guard let plan = locks[chunk], let signatures = atMint({ try $0.issue(plan.outputs) }) else { return }
        let proofs = try plan.proofs(signatures, mint)
        lockProofs[chunk] = proofs
        _ = try give(.locked(proofs.map { try LockedCoin($0) }) as EscrowBuyer.Event)
    }

    private mutating func judge() throws {
        switch mischief {
        case .hides: return
        case .complains, .garbage:
            _ = try give(.judged(isGood: false, reason: "not what was asked for") as EscrowBuyer.Event)
        default: _ = try give(.judged(isGood: true, reason: "") as EscrowBuyer.Event)
        }
    }

    private mutating func refund(_ chunk: UInt64) throws {
        guard let coins = buyer.engine?.coins, let proofs = lockProofs[chunk] else { return }
        let open = Set(coins.filter { $0.taker == nil }.map(\.y))
        let inputs = try proofs.filter { open.contains(Hex.encode(try $0.hashedSecret().compressed)) }
        guard !inputs.isEmpty else { return }
        let name = "\(chunk) " + open.sorted().joined()
        let total = try Amounts.sum(inputs.map(\.amount))
        let plan = try refunds[name] ?? OutputPlan(total - mint.fee(inputs.count), mint: mint)
        refunds[name] = plan
        let signed = try SpendingSigner.sign(inputs: inputs, outputs: plan.outputs, key: sample.buyerKey)
        _ = atMint { try $0.swap(signed, plan.outputs) }
    }

    private mutating func perform(_ action: EscrowProvider.Action) throws {
        switch action {
        case .serve(let chunk):
            guard mischief != .neverServes, chance(40) else { return }
            if deliveries[chunk] == nil { deliveries[chunk] = try serve(chunk) }
            if let (delivery, _) = deliveries[chunk] { _ = try give(.served(delivery) as EscrowProvider.Event) }
        case .claim(let chunk):
            guard mischief != .neverClaims, let proofs = taken[chunk] else { return }
            let plan =
                try claims[chunk]
                ?? OutputPlan(
                    Amounts.sum(proofs.map(\.amount)) - mint.fee(proofs.count),
                    mint: mint
                )
            claims[chunk] = plan
            let opened = try SpendingSigner.reveal(preimage: key(chunk), in: proofs)
            let signed = try SpendingSigner.sign(inputs: opened, outputs: plan.outputs, key: sample.providerKey)
            if atMint({ try $0.swap(signed, plan.outputs) }) != nil { _ = try give(.claimed as EscrowProvider.Event) }
        case .askMint:
            guard let coins = provider.engine?.coins, let states = atMint({ try $0.states(coins) }) else { return }
            _ = try give(.states(states) as EscrowProvider.Event)
        case .restore:
            let plans = Array(claims.values) + [providerPart].compactMap(\.self)
            guard let amount = atMint({ mint in plans.reduce(0) { $0 + mint.restored($1.outputs) } }) else { return }
            _ = try give(.restored(amount) as EscrowProvider.Event)
        case .askRelease:
            guard let proofs = taken[0] else { return }
            if providerPart == nil {
                providerPart = try OutputPlan(Amounts.sum(proofs.map(\.amount)) - mint.fee(proofs.count), mint: mint)
            }
            guard let outputs = providerPart?.outputs else { return }
            let planned = PlannedOutputs(
                party: TradeSample.provider.did,
                job: job,
                outputs: outputs,
                time: clock(.provider)
            )
            send(.planned(try sign(planned, TradeSample.provider)), to: .buyer)
        case .escalate:
            let said = Escalation(
                party: TradeSample.provider.did,
                job: job,
                delivery: nil,
                reason: "not paid",
                time: clock(.provider)
            )
            send(.escalation(try sign(said, TradeSample.provider), deliveries[0]?.0, taken[0] ?? []), to: .arbiter)
        case .claimSigned(let amount):
            guard let proofs = taken[0] else { return }
            if let amount {
                if try providerPart == nil || Amounts.sum(providerPart?.outputs.map(\.amount) ?? []) != amount {
                    providerPart = try OutputPlan(amount, mint: mint)
                }
                try plan(providerPart, TradeSample.provider)
                if let ruledForProvider { try swapRuled(ruledForProvider, proofs, sample.providerKey) }
            } else if let releaseSignature, let outputs = providerPart?.outputs {
                try swapRuled((releaseSignature, outputs), proofs, sample.providerKey)
            }
        }
    }

    private mutating func serve(_ chunk: UInt64) throws -> (Signed<Delivery>, [UInt8]) {
        let answer = Array("piece \(chunk)".utf8)
        if terms.mode == .arbiter {
            let open = Delivery(open: answer, by: TradeSample.provider.did, job: job, time: clock(.provider))
            return (try sign(open, TradeSample.provider), answer)
        }
        var (delivery, sealed) = try Delivery.sealing(
            answer,
            key: key(chunk),
            by: TradeSample.provider.did,
            job: job,
            index: chunk,
            time: clock(.provider)
        )
        if mischief == .garbage { delivery.response = Hashing.sha256(Array("what was promised".utf8)) }
        return (try sign(delivery, TradeSample.provider), sealed)
    }

    private func key(_ chunk: UInt64) -> [UInt8] {
        DeliverySeal.key(secret: [UInt8](repeating: 77, count: 32), job: job, index: chunk)
    }

    private mutating func perform(_ action: EscrowArbiter.Action) throws {
        switch action {
        case .ask: break
        case .decide:
            // A person that divides it, now and then.
            if let net = arbiter.engine?.net, chance(2) {
                let part = UInt64.random(in: 0...net, using: &random)
                _ = try give(.decided(provider: part, reason: "looked at it") as EscrowArbiter.Event)
            }
        case .tell:
            if ruling == nil, let engine = arbiter.engine, let outcome = engine.outcome {
                ruling = try sign(
                    Ruling(
                        arbiter: TradeSample.arbiter.did,
                        job: job,
                        outcome: outcome,
                        provider: engine.provider,
                        buyer: engine.net - engine.provider,
                        reason: engine.reason,
                        time: engine.ruledAt ?? 0
                    ),
                    TradeSample.arbiter
                )
            }
            if let ruling {
                send(.ruling(ruling), to: .buyer)
                send(.ruling(ruling), to: .provider)
            }
        case .sign(let outputs):
            let signed = try SpendingSigner.sign(inputs: arbiterProofs, outputs: outputs, key: sample.arbiterKey)
            guard let witness = signed[0].witness else { return }
            send(.ruled(witness, outputs), to: .buyer)
            send(.ruled(witness, outputs), to: .provider)
        }
    }

    /// Tells the arbiter where a party wants its part.
    private mutating func plan(_ part: OutputPlan?, _ signer: DocumentSigner) throws {
        guard let part else { return }
        let planned = PlannedOutputs(party: signer.did, job: job, outputs: part.outputs, time: mint.now)
        send(.planned(try sign(planned, signer)), to: .arbiter)
    }

    /// Adds the party's own signature to another's, and swaps.
    private mutating func swapRuled(
        _ ruled: (witness: String, outputs: [BlindedMessage]),
        _ proofs: [Proof],
        _ key: Secp256k1.Scalar
    ) throws {
        guard !proofs.isEmpty else { return }
        var inputs = proofs
        inputs[0].witness = ruled.witness
        let signed = try SpendingSigner.sign(inputs: inputs, outputs: ruled.outputs, key: key)
        _ = atMint { try $0.swap(signed, ruled.outputs) }
    }

    private func sign<Content: TradeContent>(_ content: Content, _ signer: DocumentSigner) throws -> Signed<Content> {
        try .sign(content, by: signer, now: TradeSample.stamp(mint.now))
    }

    // MARK: What came out

    /// What the mint gave to each party's own outputs, and what is locked still.
    var buyerGot: UInt64 {
        mint.restored((Array(refunds.values) + [buyerPart].compactMap(\.self)).flatMap(\.outputs))
    }
    var providerGot: UInt64 {
        mint.restored((Array(claims.values) + [providerPart].compactMap(\.self)).flatMap(\.outputs))
    }
    func unspent() throws -> UInt64 {
        try lockProofs.values.flatMap(\.self).reduce(0) { sum, proof in
            let coin = try LockedCoin(proof)
            return try sum + (mint.states([coin])[0].state == .unspent ? proof.amount : 0)
        }
    }
}
