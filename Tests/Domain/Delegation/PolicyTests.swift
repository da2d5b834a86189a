import Delegation
import Encodings
import Testing

@Suite("Policies")
struct PolicyTests {
    private static let arguments = CBOR.map([
        CBORPair("to", .array([.text("a@x"), .text("b@y"), .text("c@x")])), CBORPair("n", .unsigned(5)),
        CBORPair("f", .float(5)), CBORPair("neg", .negative(4)), CBORPair("odd key", .bool(true)),
        CBORPair("map", .map([CBORPair("p", .unsigned(1)), CBORPair("q", .unsigned(2))])),
    ])

    private func holds(_ statement: CBOR...) -> Bool? {
        (try? Policy(.array([.array(statement)])))?.holds(for: Self.arguments)
    }

    private func found(_ selector: String, _ value: CBOR) -> Bool? { holds(.text("=="), .text(selector), value) }

    @Test("selectors: keys, quoted keys, indices from both ends, slices, values, the optional mark")
    func selectors() {
        #expect(found(".n", .unsigned(5)) == true)
        #expect(found(".[\"odd key\"]", .bool(true)) == true)
        #expect(found("[\"odd key\"]", .bool(true)) == nil)
        #expect(found(".to[0]", .text("a@x")) == true)
        #expect(found(".to[-1]", .text("c@x")) == true)
        #expect(found(".to[99]", .null) == false)
        #expect(found(".to[99]?", .null) == true)
        #expect(found(".to[99]???", .null) == true)
        #expect(found(".to[1:]", .array([.text("b@y"), .text("c@x")])) == true)
        #expect(found(".to[:1]", .array([.text("a@x")])) == true)
        #expect(found(".to[0:-2]", .array([.text("a@x")])) == true)
        #expect(found(".to[2:1]", .array([])) == true)
        #expect(found(".map[]", .array([.unsigned(1), .unsigned(2)])) == true)
        #expect(found(".missing", .null) == true)
        #expect(found(".missing.deeper", .null) == false)
        #expect(found(".missing.deeper?", .null) == true)
        #expect(found(".map.p", .unsigned(1)) == true)
        #expect(found(".", Self.arguments) == true)
        for text in [
            "", "n", "..", ".n.", ".n..m", ".[", ".[1", ".[a]", ".to[1:2", ".to[:]", ".a b", ".[\"x]",
            ".to[9999999999]",
        ] {
            #expect(found(text, .null) == nil, "\(text)")
        }
        #expect(found("." + String(repeating: "a", count: 600), .null) == nil)
        #expect(found(String(repeating: ".a", count: 17), .null) == nil)
    }

    @Test("numbers compare by value; what is no number, or not there, holds for no order")
    func numbers() {
        #expect(found(".f", .unsigned(5)) == true)
        #expect(holds(.text("<"), .text(".neg"), .unsigned(0)) == true)
        #expect(holds(.text("<="), .text(".n"), .float(4.999)) == false)
        #expect(holds(.text(">="), .text(".n"), .float(5)) == true)
        #expect(holds(.text(">"), .text(".to"), .unsigned(0)) == false)
        #expect(holds(.text(">"), .text(".missing"), .unsigned(0)) == false)
        #expect(holds(.text("!="), .text(".to[9]"), .unsigned(0)) == false)
        #expect(holds(.text("<"), .text(".n"), .text("6")) == nil)
        #expect(holds(.text("<"), .text(".n"), .unsigned(1 << 60)) == nil)
    }

    @Test("statements that are none are refused, and too many or too deep ones")
    func bounds() {
        #expect(holds(.text("is"), .text(".n"), .unsigned(5)) == nil)
        #expect(holds(.text("and"), .unsigned(1)) == nil)
        #expect(holds(.text("not"), .array([])) == nil)
        #expect(holds(.text("==")) == nil)
        var deep = CBOR.array([.text("=="), .text(".n"), .unsigned(5)])
        for _ in 0..<8 { deep = .array([.text("not"), deep]) }
        #expect((try? Policy(.array([deep]))) != nil)
        deep = .array([.text("not"), deep])
        #expect((try? Policy(.array([deep]))) == nil)
        let many = CBOR.array([CBOR](repeating: .array([.text("=="), .text(".n"), .unsigned(5)]), count: 129))
        #expect((try? Policy(many)) == nil)
        #expect(holds(.text("like"), .text(".n"), .text(String(repeating: "a", count: 1025))) == nil)
    }

    @Test("a policy that would take for ever does not hold, and ends")
    func fuel() throws {
        let row = CBOR.array([CBOR](repeating: .array([CBOR](repeating: .unsigned(1), count: 60)), count: 60))
        let inner: CBOR = .array([.text("any"), .text("."), .array([.text("=="), .text("."), .unsigned(2)])])
        let all: CBOR = .array([
            .text("or"), .array([CBOR](repeating: .array([.text("any"), .text("."), inner]), count: 20)),
        ])
        #expect(try !Policy(.array([all])).holds(for: row))
        #expect(try !Policy(.array([.array([.text("not"), all])])).holds(for: row))
        let text = CBOR.text(String(repeating: "a", count: 4000))
        let pattern = CBOR.text(String(repeating: "*a", count: 500) + "*b*")
        #expect(try !Policy(.array([.array([.text("like"), .text("."), pattern])])).holds(for: text))
    }

    @Test("[DLG-2] limits are written as a policy and read back")
    func limits() throws {
        let limits = PaymentLimits(perCall: 500, unit: "sat", depth: 3, target: "https://x/*")
        #expect(PaymentLimits(of: try limits.policy()) == limits)
        #expect(throws: DelegationError.self) { try PaymentLimits(perCall: 5).policy() }
        #expect(throws: DelegationError.self) { try PaymentLimits(depth: 9).policy() }
    }
}
