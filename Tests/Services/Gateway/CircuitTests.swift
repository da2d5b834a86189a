import CanonicalJSON
import NIOCore
import Testing

@testable import Gateway

@Suite("When an upstream gets calls")
struct CircuitTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private func openings(_ circuit: inout Circuit, _ count: Int) -> [Bool] {
        (0..<count).map { _ in circuit.failed(now: start) }
    }

    @Test("GWY-7: failures in a row open it, one success does not count them on")
    func failures() {
        var circuit = Circuit(rules: BreakerRules(failures: 3, openSeconds: 2))
        #expect(openings(&circuit, 2) == [false, false])
        circuit.answered()
        #expect(openings(&circuit, 3) == [false, false, true])
        #expect(circuit.state == .open(until: start + .seconds(2)))
        #expect(!circuit.mayBeAsked(now: start + .seconds(1)))
        #expect(circuit.mayBeAsked(now: start + .seconds(2)))
    }

    @Test("GWY-7: after calls failed one is let through alone; it decides")
    func halfOpen() {
        var circuit = Circuit(rules: BreakerRules(failures: 1, openSeconds: 2))
        _ = circuit.failed(now: start)
        circuit.reachable()
        #expect(circuit.state == .halfOpen)
        // It fails: twice as long.
        let hasOpened = circuit.failed(now: start + .seconds(2))
        #expect(hasOpened)
        #expect(circuit.state == .open(until: start + .seconds(6)))
        circuit.reachable()
        circuit.answered()
        #expect(circuit.state == .closed)
        _ = circuit.failed(now: start + .seconds(9))
        #expect(circuit.state == .open(until: start + .seconds(11)))
    }

    @Test("GWY-7: what can't be reached is opened at once, longer each time, and closed by a connection")
    func unreachable() {
        var circuit = Circuit(rules: BreakerRules(failures: 5, openSeconds: 1))
        var now = start
        var pauses: [Int64] = []
        for _ in 0..<7 {
            let hasOpened = circuit.unreachable(now: now)
            #expect(hasOpened)
            guard case .open(let until) = circuit.state else { return }
            pauses.append((until - now).nanoseconds / 1_000_000_000)
            // Heard of again meanwhile, it is not opened for longer.
            let again = circuit.unreachable(now: now)
            #expect(!again)
            now = until
        }
        #expect(pauses == [1, 2, 4, 8, 10, 10, 10])
        circuit.reachable()
        #expect(circuit.state == .closed)
    }

    @Test(
        "GWY-9: addresses where no service stands are refused in every spelling",
        arguments: [
            "169.254.169.254", "169.254.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "100.100.100.200",
            "fe80::1", "ff02::1", "::", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1", "::ffff:0.0.0.0",
        ]
    )
    func never(text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(UpstreamPolicy().refusal(of: address) != nil)
    }

    @Test("GWY-9: other addresses are allowed, or only those that the operator lists")
    func listed() throws {
        for text in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "2001:db8::1", "1.1.1.1"] {
            let address = try #require(IPAddress(text))
            #expect(UpstreamPolicy().refusal(of: address) == nil)
        }
        let policy = UpstreamPolicy(allowed: ["10.1.0.0/16", "fd00::/8", "169.254.1.1"].compactMap { IPNetwork($0) })
        for (text, isAllowed) in [
            ("10.1.255.1", true), ("10.2.0.1", false), ("fd12::1", true), ("fe80::1", false), ("127.0.0.1", false),
            ("169.254.1.1", true), ("169.254.1.2", false), ("::ffff:10.1.0.1", true),
        ] {
            let address = try #require(IPAddress(text))
            #expect((policy.refusal(of: address) == nil) == isAllowed, "\(text)")
        }
        for bad in ["10.0.0.0/33", "10.0.0/8", "x", "10.0.0.0/", "10.0.0.0/8/8", ""] { #expect(IPNetwork(bad) == nil) }
    }

    @Test("GWY-6, GWY-7: what is set survives its JSON form, and what can't be is refused")
    func json() throws {
        let text = """
            {"name":"a","upstream":"http://a","prices":[{"amount":"1"}],"hosts":["a.example"],"cors":["https://b.example"],\
            "moreUpstreams":["http://b:81/x"],"balance":"least-busy","healthCheck":{"path":"/well","intervalSeconds":3},\
            "breaker":{"failures":2},"webSockets":{"paidSeconds":60}}
            """
        let service = try ServiceDefinition(json: JSONValue.parse(Array(text.utf8)))
        #expect(service.upstreams.map(\.description) == ["http://a", "http://b:81/x"])
        #expect(service.proxy.healthCheck == HealthCheck(path: "/well", intervalSeconds: 3))
        #expect(service.proxy.breaker == BreakerRules(failures: 2, openSeconds: 2))
        #expect(service.proxy.webSockets == WebSocketRules(paidSeconds: 60))
        #expect(try ServiceDefinition(json: service.json) == service)
        for member in [
            #""balance":"random""#, #""healthCheck":{"path":"x"}"#, #""healthCheck":{}"#, #""breaker":{"failures":0}"#,
            #""breaker":{"seconds":1}"#, #""webSockets":{"paidSeconds":0}"#, #""webSockets":{"frameBytes":1}"#,
            #""moreUpstreams":["ftp://a"]"#, #""hosts":["*"]"#, #""cors":[]"#, #""cors":"*""#,
        ] {
            let text = #"{"name":"a","upstream":"http://a","prices":[{"amount":"1"}],\#(member)}"#
            #expect(throws: GatewayError.self, "\(member)") {
                try ServiceDefinition(json: JSONValue.parse(Array(text.utf8)))
            }
        }
    }
}
