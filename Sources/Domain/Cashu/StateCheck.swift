// Whether proofs are spent (NUT-07).
public import CanonicalJSON
import Encodings

/// `POST /v1/checkstate`: the points Y of the proofs, 33 bytes each.
public struct CheckStateRequest: Hashable, Sendable {
    public var hashedSecrets: [[UInt8]]

    public init(hashedSecrets: [[UInt8]]) {
        self.hashedSecrets = hashedSecrets
    }

    /// - Throws: 11014 beyond ``CashuLimits/arrayLength`` points. They are checked for form only: one that isn't on the
    ///   curve is simply one that was never spent.
    public init(json: JSONValue) throws {
        let values = try json.array("Ys")
        guard values.count <= CashuLimits.arrayLength else {
            throw MintError(.maximumInputsExceeded, "at most \(CashuLimits.arrayLength) states are told at once")
        }
        hashedSecrets = try values.map { value in
            guard let text = value.stringValue else {
                throw CashuError(.malformed, "`Ys` must be strings of 66 hex digits")
            }
            return try ProofState.point(text)
        }
    }

    public var json: JSONValue {
        .object(["Ys": .array(hashedSecrets.map { .string(Hex.encode($0)) })])
    }
}

/// The state of one proof (NUT-07).
public struct ProofState: Hashable, Sendable {
    public enum State: String, Hashable, Sendable {
        case unspent = "UNSPENT"
        /// Part of a transaction in flight.
        case pending = "PENDING"
        case spent = "SPENT"
    }

    /// Y, 33 bytes.
    public var hashedSecret: [UInt8]
    public var state: State
    /// What a conditional secret was spent with; nil for others.
    public var witness: String?

    public init(hashedSecret: [UInt8], state: State, witness: String? = nil) {
        self.hashedSecret = hashedSecret
        self.state = state
        self.witness = witness
    }

    public init(json: JSONValue) throws {
        hashedSecret = try ProofState.point(json.string("Y"))
        let text = try json.string("state")
        guard let state = State(rawValue: text) else {
            throw CashuError(.malformed, "\"\(text.prefix(20))\" is no state of a proof")
        }
        self.state = state
        witness = try json.optionalBoundedString("witness", maximumBytes: CashuLimits.witnessBytes)
    }

    public var json: JSONValue {
        .object([
            "Y": .string(Hex.encode(hashedSecret)),
            "state": .string(state.rawValue),
            "witness": witness.map(JSONValue.string) ?? .null,
        ])
    }

    static func point(_ hex: String) throws(CashuError) -> [UInt8] {
        guard hex.utf8.count == 66, let bytes = try? Hex.decode(hex), bytes[0] == 2 || bytes[0] == 3 else {
            throw CashuError(.malformed, "a `Y` must be a compressed point: 66 hex digits")
        }
        return bytes
    }
}

/// The answer, in the order of the request.
public struct CheckStateResponse: Hashable, Sendable {
    public var states: [ProofState]

    public init(states: [ProofState]) {
        self.states = states
    }

    public init(json: JSONValue) throws {
        states = try json.boundedArray("states", maximum: CashuLimits.arrayLength).map(ProofState.init(json:))
    }

    public var json: JSONValue { .object(["states": .array(states.map(\.json))]) }

    /// The states for exactly the points asked, in that order.
    /// - Throws: ``CashuError/Code/answerMismatch`` where the mint answered others or in another order.
    public func states(for request: CheckStateRequest) throws(CashuError) -> [ProofState] {
        guard states.map(\.hashedSecret) == request.hashedSecrets else {
            throw CashuError(.answerMismatch, "the mint told the states of other proofs than it was asked about")
        }
        return states
    }
}
