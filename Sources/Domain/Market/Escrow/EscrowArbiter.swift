internal import CanonicalJSON
public import Cashu
internal import Encodings
internal import SignedDocuments

/// The arbiter's side of a job in mode `arbiter`: a value without I/O that a store keeps as JSON ([ESC-14], [ESC-17]).
public struct EscrowArbiter: Codable, Sendable, Equatable {
    public enum Phase: String, Codable, Sendable {
        case open
        case ruled
    }

    public enum Event: Sendable {
        /// A party's statement.
        case escalated(Signed<Escalation>)
        /// A delivery that the provider signed, whoever shows it.
        case shown(Signed<Delivery>)
        /// A person's decision: what of the net amount goes to the provider, the rest to the buyer.
        case decided(provider: UInt64, reason: String)
        case outputs(Signed<PlannedOutputs>)
        case tick
    }

    public enum Action: Sendable, Equatable {
        /// Tells the other side, and asks for its evidence.
        case ask(party: String)
        /// A person is to decide until then.
        case decide(by: UInt64)
        /// Tells both the ruling.
        case tell
        /// Signs the swap of the locked coins to these outputs, and no others.
        case sign([BlindedMessage])
    }

    public let terms: EscrowTerms
    /// The lock less the mint's fee: what a ruling divides.
    public let net: UInt64
    public private(set) var phase = Phase.open
    /// When the first side came, seconds since 1970 on the mint's clock.
    public let openedAt: UInt64
    /// Who has spoken, and what each said.
    public private(set) var statements: [String: String] = [:]
    /// When the provider says that it delivered.
    public private(set) var deliveredAt: UInt64?
    public private(set) var outcome: Ruling.Outcome?
    public private(set) var provider: UInt64 = 0
    public private(set) var reason = ""
    public private(set) var ruledAt: UInt64?
    /// JSON of the blinded messages, once each.
    private var outputs: [String: [String]] = [:]

    /// - Parameters:
    ///   - net: what the locked coins are worth after the mint's fee; the caller has checked the lock as a provider does.
    ///   - now: the mint's clock.
    /// - Throws: `TradeRefusal` with `.mismatch` where the job names no arbiter.
    public init(_ terms: EscrowTerms, net: UInt64, at now: UInt64) throws(TradeRefusal) {
        guard terms.mode == .arbiter else { throw TradeRefusal(.mismatch, "the job has no arbiter") }
        self.terms = terms
        self.net = net
        openedAt = now
    }

    /// By then it has ruled, with nobody's help.
    public var ruleBy: UInt64 { openedAt + terms.arbiterSeconds }

    /// - Throws: `TradeRefusal`; the state is then as before.
    public mutating func take(_ event: Event, at now: UInt64) throws(TradeRefusal) -> [Action] {
        switch event {
        case .escalated(let said):
            let party = try party(said.content.party.string, said.content.job)
            if phase == .open, statements[party] == nil { statements[party] = said.content.reason }
        case .shown(let delivery):
            guard delivery.content.provider.string == terms.provider, Hex.encode(delivery.content.job) == terms.job
            else {
                throw TradeRefusal(.mismatch, "the delivery is of another provider or job")
            }
            // The earliest that it signed; it could date another one back only with its own signature under both.
            if phase == .open { deliveredAt = min(deliveredAt ?? .max, delivery.content.time) }
        case .decided(let amount, let reason):
            guard amount <= net else { throw TradeRefusal(.wrongOutputs, "a ruling divides \(net) at most") }
            rule(amount, reason, now)
        case .outputs(let planned):
            let party = try party(planned.content.party.string, planned.content.job)
            if outputs[party] == nil { try keep(planned.content, of: party) }
        case .tick: break
        }
        ruleByEvidence(now)
        return actions(at: now)
    }

    private func party(_ name: String, _ job: [UInt8]) throws(TradeRefusal) -> String {
        guard name == terms.provider || name == terms.buyer, Hex.encode(job) == terms.job else {
            throw TradeRefusal(.mismatch, "it comes from nobody of this job")
        }
        return name
    }

    private mutating func keep(_ planned: PlannedOutputs, of party: String) throws(TradeRefusal) {
        guard phase == .ruled else { return }
        guard planned.amount == share(of: party), planned.amount != 0 else {
            throw TradeRefusal(.wrongOutputs, "the outputs do not sum to what was ruled")
        }
        outputs[party] = planned.outputs.map { String(decoding: $0.json.serialized(), as: UTF8.self) }
    }

    private func share(of party: String) -> UInt64 { party == terms.provider ? provider : net - provider }

    private mutating func rule(_ amount: UInt64, _ why: String, _ now: UInt64) {
        guard phase == .open else { return }
        phase = .ruled
        provider = amount
        reason = why
        ruledAt = now
        outcome = amount == net ? .paid : amount == 0 ? .refunded : .split
    }

    /// What needs no person ([ESC-15]): a delivery that its own signature dates late, or none by the deadline, is refunded; where nobody
    /// has decided in the stated time, a delivery in time is paid.
    private mutating func ruleByEvidence(_ now: UInt64) {
        guard phase == .open else { return }
        if let deliveredAt {
            if deliveredAt > terms.deliverBy { return rule(0, "delivered after the deadline", now) }
            if now >= ruleBy { rule(net, "delivered in time, and nothing else was decided", now) }
        } else if now > terms.deliverBy, statements[terms.provider] != nil || now >= ruleBy {
            rule(0, "nothing was delivered", now)
        }
    }

    public func actions(at now: UInt64) -> [Action] {
        guard phase == .ruled else {
            let silent = [terms.provider, terms.buyer].filter { statements[$0] == nil }
            return silent.map { .ask(party: $0) } + [.decide(by: ruleBy)]
        }
        return [.tell] + (plan.map { [.sign($0)] } ?? [])
    }

    /// The outputs that are signed for: the provider's, then the buyer's; nil until all are there.
    public var plan: [BlindedMessage]? {
        guard phase == .ruled else { return nil }
        var all: [BlindedMessage] = []
        for party in [terms.provider, terms.buyer] where share(of: party) > 0 {
            guard let texts = outputs[party] else { return nil }
            for text in texts {
                guard let output = try? BlindedMessage(json: .parse(text)) else { return nil }
                all.append(output)
            }
        }
        return all
    }
}
