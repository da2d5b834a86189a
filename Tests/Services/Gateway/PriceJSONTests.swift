import CanonicalJSON
import Gateway
import Paywall
import Testing

@Suite("Prices as JSON")
struct PriceJSONTests {
    private func service(_ prices: String) throws -> ServiceDefinition {
        try ServiceDefinition(
            json: JSONValue.parse(
                "{\"name\":\"weather\",\"upstream\":\"http://127.0.0.1:9000\",\"prices\":\(prices)}"
            )
        )
    }

    @Test("PRC-1: a fixed price is read and written as it was before there were meters")
    func fixed() throws {
        let text = "[{\"path\":\"/*\",\"amount\":\"2\",\"unit\":\"sat\"}]"
        let service = try service(text)
        #expect(try service.json.value("prices") == JSONValue.parse(text))
        #expect(service.prices.rules.first?.metering == nil)
        #expect(try self.service("[{\"amount\":2}]").prices == service.prices)
    }

    @Test("PRC-1, PRC-2, PRC-3: meters, tiers, maximum and free calls are read and written back the same")
    func metered() throws {
        let text = """
            [{"path":"/v1/*","amount":"1","unit":"msat","methods":["POST"],"maximum":"500","freePerDay":"3","meters":[
            {"measure":"responseBytes","per":"1024","amount":"2"},
            {"measure":"reported","name":"x-tokens","amount":"5"},
            {"measure":"calls","period":"day","tiers":[{"from":"0","amount":"3"},{"from":"100","amount":"1"}]}]}]
            """
        let service = try service(text)
        let rule = try #require(service.prices.rules.first)
        #expect(rule.metering?.maximum == 500)
        #expect(rule.metering?.meters.map(\.measure) == [.responseBytes, .reported("x-tokens"), .calls])
        #expect(rule.metering?.meters.first?.per == 1024)
        #expect(rule.metering?.meters.last?.period == .day)
        #expect(rule.freeCallsPerDay == 3)
        #expect(try service.json.value("prices") == JSONValue.parse(text))
        #expect(try ServiceDefinition(json: service.json) == service)
        let bare = try self.service("[{\"maximum\":\"9\",\"meters\":[{\"measure\":\"seconds\",\"amount\":\"1\"}]}]")
        #expect(bare.prices.rules.first?.price == Price(amount: 0))
    }

    @Test(
        "PRC-1: a price that can't be, or has a misspelt member, is refused",
        arguments: [
            "[{\"amount\":\"1\",\"maximum\":\"5\"}]",
            "[{\"amount\":\"1\",\"meters\":[{\"measure\":\"seconds\",\"amount\":\"1\"}]}]",
            "[{\"maximum\":\"5\",\"meters\":[]}]", "[{\"maximum\":\"5\",\"meters\":[1]}]",
            "[{\"maximum\":\"5\",\"meters\":[{\"measure\":\"seconds\"}]}]",
            "[{\"maximum\":\"5\",\"meters\":[{\"measure\":\"minutes\",\"amount\":\"1\"}]}]",
            "[{\"maximum\":\"5\",\"meters\":[{\"measure\":\"seconds\",\"amount\":\"1\",\"name\":\"x\"}]}]",
            "[{\"maximum\":\"5\",\"meters\":[{\"measure\":\"reported\",\"amount\":\"1\"}]}]",
            "[{\"maximum\":\"5\",\"meters\":[{\"measure\":\"seconds\",\"amount\":\"1\",\"pre\":\"2\"}]}]",
            "[{\"maximum\":\"5\",\"meters\":[{\"measure\":\"seconds\",\"amount\":\"-1\"}]}]",
            "[{\"maximum\":\"5\",\"meters\":[{\"measure\":\"calls\",\"period\":\"week\",\"tiers\":[{\"from\":\"0\",\"amount\":\"1\"}]}]}]",
            "[{\"amount\":\"1\",\"freePerDay\":\"0\"}]", "[{\"amount\":\"1\",\"free\":\"1\"}]", "[{\"meters\":null}]",
        ]
    )
    func refused(prices: String) {
        #expect { try service(prices) } throws: { ($0 as? GatewayError)?.code == .invalidService }
    }
}
