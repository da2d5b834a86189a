import CanonicalJSON
import Encodings
import Records
import Testing

@testable import Market

@Suite("What a seller has to tell")
struct ListingScheduleTests {
    private static let day = ListingSchedule.lifetimeSeconds

    private func actions(
        _ offered: [String: JSONObject],
        _ standing: [Record],
        afterSeconds seconds: Int64 = 0
    ) -> [ListingSchedule.Action] {
        ListingSchedule(offered: offered).actions(standing: standing, now: Sample.now.adding(seconds: seconds))
    }

    @Test("[LST-8] A new service is published, and left alone until half of its listing's life is over")
    func renewal() throws {
        #expect(actions(["weather": Sample.body], []) == [.publish("weather", Sample.body)])
        let record = try Sample.record(lifetimeSeconds: Self.day)
        #expect(actions(["weather": Sample.body], [record]) == [])
        #expect(actions(["weather": Sample.body], [record], afterSeconds: Self.day / 2 - 1) == [])
        let due = actions(["weather": Sample.body], [record], afterSeconds: Self.day / 2)
        #expect(due == [.publish("weather", Sample.body)])
    }

    @Test("[LST-8] What it says has changed: it is published at once; the order of members is no change")
    func change() throws {
        let record = try Sample.record(lifetimeSeconds: Self.day)
        var body = Sample.body
        body["title"] = "Weather, better"
        #expect(actions(["weather": body], [record]) == [.publish("weather", body)])
        let turned = JSONObject(Sample.body.map { ($0.key, $0.value) }.reversed())
        #expect(actions(["weather": turned], [record]) == [])
    }

    @Test("[LST-9] What is no longer sold is taken back, once, and published again when it is back")
    func withdrawal() throws {
        let record = try Sample.record(lifetimeSeconds: Self.day)
        #expect(actions([:], [record]) == [.withdraw("weather")])
        let tombstone = try Record.tombstone(
            of: Listing.kind,
            name: "weather",
            sequence: 2,
            created: Sample.now,
            by: Sample.signer
        )
        #expect(actions([:], [tombstone]) == [])
        #expect(actions(["weather": Sample.body], [tombstone]) == [.publish("weather", Sample.body)])
    }

    @Test("[LST-9] Of many, each by its own, in the order of their names")
    func many() throws {
        let standing = [
            try Sample.record(name: "c", lifetimeSeconds: Self.day),
            try Sample.record(name: "a", lifetimeSeconds: Self.day),
        ]
        #expect(
            actions(["b": Sample.body, "a": Sample.body], standing) == [.publish("b", Sample.body), .withdraw("c")]
        )
    }
}
