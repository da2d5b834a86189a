import CanonicalJSON
import Cashu
import Testing

@Suite("What a mint says over the WebSocket (NUT-17), as a wallet reads it")
struct SubscriptionNewsTests {
    private func read(_ text: String) throws -> SubscriptionNews { try SubscriptionNews(message: Array(text.utf8)) }

    @Test("the messages of NUT-17")
    func examples() throws {
        #expect(
            try read(#"{"jsonrpc":"2.0","result":{"status":"OK","subId":"Ua_IYvRHoCoF"},"id":0}"#)
                == .accepted(.number(0))
        )
        #expect(
            try read(
                #"{"jsonrpc":"2.0","method":"subscribe","params":{"subId":"Ua_IYvRHoCoF","payload":{"quote":"q","state":"PAID"}}}"#
            ) == .notification(subscription: "Ua_IYvRHoCoF", payload: ["quote": "q", "state": "PAID"])
        )
        #expect(
            try read(#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"no such method"},"id":"1"}"#)
                == .refused(.text("1"), SubscriptionError(-32601, "no such method"))
        )
        #expect(
            try read(#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"not JSON"},"id":null}"#)
                == .refused(nil, SubscriptionError(-32700, "not JSON"))
        )
    }

    @Test("what our own mint writes is read as it was meant")
    func ours() throws {
        #expect(
            try SubscriptionNews(message: SubscriptionMessage.accepted(.text("x"), subscription: "s"))
                == .accepted(.text("x"))
        )
        let refusal = SubscriptionError(SubscriptionError.limitReached, "too many")
        #expect(
            try SubscriptionNews(message: SubscriptionMessage.refused(.number(7), refusal))
                == .refused(.number(7), refusal)
        )
        let payload = JSONValue.object(["Y": "02", "state": "SPENT", "witness": .null])
        #expect(
            try SubscriptionNews(message: SubscriptionMessage.notification("s", payload: payload.serialized()))
                == .notification(subscription: "s", payload: payload)
        )
    }

    @Test("anything else is malformed")
    func malformed() {
        for text in [
            "", "x", "[]", "5", "{}", #"{"id":1}"#, #"{"result":{}}"#, #"{"method":"subscribe"}"#,
            #"{"method":"subscribe","params":{"subId":5,"payload":{}}}"#, #"{"method":"unsubscribe","params":{}}"#,
            #"{"result":1,"id":1,"id":2}"#, String(repeating: "[", count: 100),
        ] {
            #expect(throws: CashuError.self, "\(text.prefix(40))") { try read(text) }
        }
    }

    @Test(
        "a hint says that something is over",
        arguments: [
            (.mintQuote, ["state": "PAID"], true), (.mintQuote, ["state": "UNPAID"], false),
            (.mintQuote, ["state": "ISSUED"], true), (.mintQuote, [:], false),
            (.mintQuote, ["state": "UNPAID", "amount_paid": 5], true),
            (.mintQuote, ["state": "PAID", "amount_paid": 0], false), (.meltQuote, ["state": "PENDING"], false),
            (.meltQuote, ["state": "PAID"], true), (.meltQuote, ["state": "UNPAID"], true),
            (.proofState, ["state": "UNSPENT"], false), (.proofState, ["state": "PENDING"], false),
            (.proofState, ["state": "SPENT"], true), (.proofState, ["state": 5], false),
        ] as [(SubscriptionKind, JSONValue, Bool)]
    )
    func hints(kind: SubscriptionKind, payload: JSONValue, isOver: Bool) {
        #expect(kind.isOver(payload) == isOver)
    }
}
