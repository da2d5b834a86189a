import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Testing

/// Whether the inputs of a published case may be spent at `now`.
private func isSpendable(_ vector: JSONValue, now: UInt64 = 1_700_000_000) throws -> Bool {
    let request = try vector.value("request")
    let inputs: [Proof]
    var outputs: [BlindedMessage] = []
    var quote: String?
    switch try vector.string("kind") {
    case "proof":
        inputs = [try Proof(json: request)]
    case "melt":
        let melt = try MeltRequest(json: request)
        (inputs, outputs, quote) = (melt.inputs, melt.outputs, melt.quote.string)
    default:
        let swap = try SwapRequest(json: request)
        (inputs, outputs) = (swap.inputs, swap.outputs)
    }
    do {
        try SpendingCheck.verify(inputs: inputs, outputs: outputs, quote: quote, now: now)
        return true
    } catch {
        #expect(error.code == .proofVerificationFailed)
        return false
    }
}

@Suite("Published P2PK and HTLC cases (NUT-11, NUT-14)")
struct SpendingVectorTests {
    @Test("every published case is decided as published")
    func published() throws {
        let cases = try vectors("11").array("cases")
        #expect(cases.count == 20)
        for vector in cases {
            let name = try vector.string("name")
            #expect(try isSpendable(vector) == vector.bool("isValid"), "\(name)")
        }
    }

    @Test("a kind this mint doesn't know is refused, whatever its witness")
    func unknownKind() throws {
        let cases = try vectors("11").array("cases").filter { $0["condition"] != nil }
        #expect(cases.count == 3)
        for vector in cases {
            var request = try SwapRequest(json: vector.value("request"))
            request.inputs[0].secret.replace("HTLC", with: "HTLX")
            #expect(!isSpendable(request.inputs, outputs: request.outputs, now: 1_700_000_000))
        }
    }

    @Test("the published SIG_ALL messages, for swap and melt")
    func messages() throws {
        for vector in try vectors("11").array("messages") {
            let request = try vector.value("request")
            let message: [UInt8]
            if try vector.string("kind") == "melt" {
                let melt = try MeltRequest(json: request)
                message = SpendingMessage.all(inputs: melt.inputs, outputs: melt.outputs, quote: melt.quote.string)
            } else {
                let swap = try SwapRequest(json: request)
                message = SpendingMessage.all(inputs: swap.inputs, outputs: swap.outputs)
            }
            #expect(try message == Array(vector.string("message").utf8))
            #expect(try Hex.encode(Hashing.sha256(message)) == vector.string("sha256"))
        }
    }

    @Test("a lock whose time has passed opens for its refund keys only then")
    func clock() throws {
        let vector = try #require(
            try vectors("11").array("cases").first {
                $0["name"]?.stringValue?.contains("not spendable because the locktime") == true
            }
        )
        #expect(try !isSpendable(vector, now: 99_999_999_999))
        #expect(try isSpendable(vector, now: 100_000_000_000))
    }
}
