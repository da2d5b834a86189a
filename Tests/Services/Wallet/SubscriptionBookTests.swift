import CanonicalJSON
import Cashu
import Testing

@testable import Wallet

@Suite("Wallet: what it wants to be told (NUT-17)")
struct SubscriptionBookTests {
    private func wants(_ kind: SubscriptionKind, _ filters: [String]) -> Wants {
        var wants = Wants()
        wants.add(kind, filters)
        return wants
    }

    private func requests(_ actions: [SubscriptionBook.Action]) throws -> [SubscriptionRequest] {
        try actions.compactMap { action in
            guard case .send(let text) = action else { return nil }
            return try SubscriptionRequest(message: text, filterLimit: 1000)
        }
    }

    private func confirm(_ request: SubscriptionRequest, in book: inout SubscriptionBook) throws {
        let answer = SubscriptionMessage.accepted(request.id, subscription: request.subscription)
        #expect(try book.receive(answer).isEmpty)
    }

    private func news(_ request: SubscriptionRequest, _ payload: JSONValue) -> [UInt8] {
        SubscriptionMessage.notification(request.subscription, payload: payload.serialized())
    }

    @Test("what is wanted is subscribed to once, and given up when nothing of it is wanted")
    func following() throws {
        var book = SubscriptionBook()
        let first = try requests(book.want(wants(.mintQuote, ["a", "b"])))
        #expect(first.map(\.command) == [.subscribe(.mintQuote, filters: ["a", "b"])])
        #expect(!book.isWatching(.mintQuote, "a") && book.isWaiting)
        try confirm(first[0], in: &book)
        #expect(book.isWatching(.mintQuote, "a") && !book.isWatching(.meltQuote, "a") && !book.isWaiting)
        #expect(book.want(wants(.mintQuote, ["a", "b"])).isEmpty)
        let second = try requests(book.want(wants(.mintQuote, ["b", "c"])))
        #expect(second.map(\.command) == [.subscribe(.mintQuote, filters: ["c"])])
        #expect(second[0].subscription != first[0].subscription && second[0].id != first[0].id)
        let third = try requests(book.want(wants(.mintQuote, ["c"])))
        #expect(third.map(\.command) == [.unsubscribe] && third[0].subscription == first[0].subscription)
        #expect(!book.isWatching(.mintQuote, "b"))
    }

    @Test("only news of what is over, and of what was asked for, is looked at")
    func hints() throws {
        var book = SubscriptionBook()
        var all = wants(.mintQuote, ["a"])
        all.add(.meltQuote, ["m"])
        let point = "02" + String(repeating: "ab", count: 32)
        all.add(.proofState, [point])
        let sent = try requests(book.want(all))
        #expect(sent.count == 3)
        let quote = try #require(sent.first { $0.command == .subscribe(.mintQuote, filters: ["a"]) })
        let melt = try #require(sent.first { $0.command == .subscribe(.meltQuote, filters: ["m"]) })
        #expect(try book.receive(news(quote, ["quote": "a", "state": "UNPAID"])).isEmpty)
        #expect(try book.receive(news(quote, ["quote": "a", "amount_paid": 0, "state": "PAID"])).isEmpty)
        #expect(try book.receive(news(quote, ["quote": "z", "state": "PAID"])).isEmpty)
        #expect(try book.receive(news(quote, ["state": "PAID"])).isEmpty)
        #expect(try book.receive(news(melt, ["quote": "a", "state": "PAID"])).isEmpty)
        #expect(try book.receive(news(quote, ["quote": "a", "state": "PAID"])) == [.look(.mintQuote, "a")])
        #expect(try book.receive(news(quote, ["quote": "a", "amount_paid": 5])) == [.look(.mintQuote, "a")])
        #expect(try book.receive(news(melt, ["quote": "m", "state": "PENDING"])).isEmpty)
        #expect(try book.receive(news(melt, ["quote": "m", "state": "UNPAID"])) == [.look(.meltQuote, "m")])
        let coin = try #require(sent.first { $0.command == .subscribe(.proofState, filters: [point]) })
        #expect(try book.receive(news(coin, ["Y": .string(point), "state": "PENDING"])).isEmpty)
        let spent = news(coin, ["Y": .string(point.uppercased()), "state": "SPENT"])
        #expect(try book.receive(spent) == [.look(.proofState, point)])
        var strange = quote
        strange.subscription = "another"
        #expect(try book.receive(news(strange, ["quote": "a", "state": "PAID"])).isEmpty)
    }

    @Test("what the mint refuses is not asked for again, and the rest goes on")
    func refused() throws {
        var book = SubscriptionBook()
        var all = wants(.mintQuote, ["a"])
        all.add(.meltQuote, ["m"])
        let sent = try requests(book.want(all))
        for request in sent where request.command == .subscribe(.mintQuote, filters: ["a"]) {
            _ = try book.receive(SubscriptionMessage.refused(request.id, SubscriptionError(-32000, "too many")))
        }
        #expect(book.want(all).isEmpty)
        #expect(!book.isWatching(.mintQuote, "a"))
        for request in sent where request.command == .subscribe(.meltQuote, filters: ["m"]) {
            try confirm(request, in: &book)
        }
        #expect(book.isWatching(.meltQuote, "m"))
    }

    @Test("many filters go in several subscriptions, and many subscriptions are made anew as few")
    func bounded() throws {
        var book = SubscriptionBook()
        let many = (0..<5000).map { "q\($0)" }
        let sent = try requests(book.want(wants(.mintQuote, many)))
        #expect(sent.count == 2)
        let told = sent.reduce(0) { count, request in
            guard case .subscribe(_, let filters) = request.command else { return count }
            return count + filters.count
        }
        #expect(told == Wants.maximumFilters)
        var small = SubscriptionBook()
        var last: [SubscriptionRequest] = []
        for count in 1...30 { last = try requests(small.want(wants(.mintQuote, Array(many.prefix(count))))) + last }
        #expect(last.count(where: { $0.command == .unsubscribe }) == 24)
    }

    @Test("a mint that floods or talks nonsense is given up")
    func hostile() throws {
        for text in [
            "", "x", "[]", "{}", #"{"jsonrpc":"2.0","id":1}"#, #"{"method":"subscribe","params":{}}"#,
            String(repeating: "[", count: 1000),
        ] {
            var book = SubscriptionBook()
            _ = book.want(wants(.mintQuote, ["a"]))
            #expect(throws: SubscriptionBook.Nonsense.self, "\(text.prefix(40))") {
                try book.receive(Array(text.utf8))
            }
        }
        var book = SubscriptionBook()
        let request = try requests(book.want(wants(.mintQuote, ["a"])))[0]
        #expect(throws: SubscriptionBook.Nonsense.self) {
            for _ in 0..<3000 { _ = try book.receive(news(request, ["quote": "a", "state": "UNPAID"])) }
        }
    }
}
