import Paywall
import Testing

@Suite("Prices")
struct PriceListTests {
    private func list(_ rules: [(String, String, UInt64)]) throws -> PriceList {
        try PriceList(
            rules.map { methods, pattern, amount in
                try PriceRule(
                    methods: Set(methods.split(separator: ",").map(String.init)),
                    pathPattern: pattern,
                    price: Price(amount: amount)
                )
            }
        )
    }

    private func price(_ list: PriceList, _ method: String, _ path: String) throws -> UInt64? {
        try list.price(method: method, path: RequestPath(path))?.amount
    }

    @Test("CALL-11: the most specific rule sets the price, in whatever order the rules stand")
    func longestWins() throws {
        let rules = [
            ("", "/*", UInt64(9)), ("", "/v1/*", 3), ("GET", "/v1/today", 1), ("", "/v1/*/photo", 7), ("", "/free", 0),
        ]
        for order in [rules, rules.reversed()] {
            let list = try list(order)
            #expect(try price(list, "GET", "/v1/today") == 1)
            #expect(try price(list, "POST", "/v1/today") == 3)
            #expect(try price(list, "GET", "/v1/today/more") == 3)
            #expect(try price(list, "GET", "/v1/7/photo") == 7)
            #expect(try price(list, "GET", "/v1") == 3)
            #expect(try price(list, "GET", "/free") == 0)
            #expect(try price(list, "GET", "/") == 9)
            #expect(try price(list, "GET", "/else/where") == 9)
        }
    }

    @Test("CALL-11: what no rule names is not for sale, and HEAD costs what GET costs")
    func notForSale() throws {
        let list = try list([("GET", "/today", 2), ("POST", "/today", 5)])
        #expect(try price(list, "GET", "/tomorrow") == nil)
        #expect(try price(list, "DELETE", "/today") == nil)
        #expect(try price(list, "HEAD", "/today") == 2)
        #expect(try list.methods(path: RequestPath("/today")) == ["GET", "POST"])
        let withHead = try self.list([("GET", "/today", 2), ("HEAD", "/today", 0)])
        #expect(try price(withHead, "HEAD", "/today") == 0)
    }

    @Test(
        "CALL-12: no spelling of a priced path is cheaper",
        arguments: ["/paid", "/paid/", "/p%61id", "/%50aid", "/PAID", "/paid;x=1", "/paid;/"]
    )
    func spellings(path: String) throws {
        let list = try list([("", "/*", 0), ("", "/paid", 5)])
        #expect(try price(list, "GET", path) == 5)
    }

    @Test(
        "CALL-12: a path that two servers could read differently is refused",
        arguments: [
            "/free/../paid", "/free/%2e%2e/paid", "/free/..;/paid", "//paid", "/a//paid", "/free%2f..%2fpaid",
            "/free\\..\\paid",
            "/free/%5cpaid", "/paid%00", "/paid%0a", "/paid%", "/paid%2", "/paid%zz", "/%252e%252e/paid", "/./paid",
            "paid", "",
            "/%ff", "/;x/paid", "/paid%09",
        ]
    )
    func ambiguous(path: String) {
        #expect { try RequestPath(path) } throws: { ($0 as? CallRefusal)?.code == .ambiguousPath }
    }

    @Test("A path is bounded in bytes and segments")
    func bounds() throws {
        #expect(throws: CallRefusal.self) {
            try RequestPath("/" + String(repeating: "a", count: RequestPath.maximumBytes))
        }
        #expect(throws: CallRefusal.self) {
            try RequestPath(String(repeating: "/a", count: RequestPath.maximumSegments + 1))
        }
        #expect(try RequestPath(String(repeating: "/a", count: RequestPath.maximumSegments)).segments.count == 256)
    }

    @Test("Rules that can't be are refused with a reason")
    func badRules() throws {
        func code(_ body: () throws -> Void) -> PriceError.Code? {
            do {
                try body()
                return nil
            } catch {
                return (error as? PriceError)?.code
            }
        }
        #expect(code { _ = try PriceRule(pathPattern: "today", price: Price(amount: 1)) } == .badPattern)
        #expect(code { _ = try PriceRule(pathPattern: "/a*b", price: Price(amount: 1)) } == .badPattern)
        #expect(code { _ = try PriceRule(pathPattern: "/../x", price: Price(amount: 1)) } == .badPattern)
        #expect(code { _ = try PriceRule(methods: ["get"], pathPattern: "/", price: Price(amount: 1)) } == .badMethod)
        #expect(code { _ = try PriceRule(pathPattern: "/", price: Price(amount: 1 << 53)) } == .badAmount)
        #expect(code { _ = try PriceRule(pathPattern: "/", price: Price(amount: 1, unit: "")) } == .badAmount)
        #expect(code { _ = try list([("GET", "/x", 1), ("GET,POST", "/x", 2)]) } == .contradiction)
        #expect(code { _ = try list([("", "/x", 1), ("", "/x", 2)]) } == .contradiction)
        #expect(code { _ = try list([("", "/x", 1), ("GET", "/x", 2)]) } == nil)
        #expect(code { _ = try list((0...256).map { ("", "/\($0)", 1) }) } == .tooManyRules)
    }
}
