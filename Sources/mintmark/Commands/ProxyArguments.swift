import ArgumentParser
import CanonicalJSON

/// How `service add` sets what a reverse proxy has to know.
struct ProxyArguments: ParsableArguments {
    @Option(help: "A host whose every path is the service's, such as weather.example. May be repeated.")
    var host: [String] = []
    @Option(
        help: ArgumentHelp(
            "The web pages that may call and pay: '*', or origins with commas between.",
            discussion: "Without it the upstream's own CORS headers are passed on, and a page can't read a 402.",
            valueName: "origins"
        )
    )
    var cors: String?
    @Option(help: "Of several upstreams: round-robin (the default) or least-busy.") var balance: String?
    @Option(
        help: ArgumentHelp(
            "A path of the upstreams that is asked for by GET; one that does not answer it with 200 to 399 gets no calls.",
            valueName: "path"
        )
    )
    var healthCheck: String?
    @Option(help: "How often, in seconds (10).") var healthInterval: Int64?
    @Option(help: "Calls in a row that an upstream does not answer before it gets none for a while (5).")
    var breakerFailures: Int64?
    @Option(help: "For how long at first, in seconds (2); doubled each time, up to ten times.") var breakerOpen: Int64?
    @Flag(help: "Pass WebSockets on: the price buys a connection, or, as '1sat/s,max=600sat', seconds of it.")
    var websocket = false
    @Option(
        help: ArgumentHelp(
            "Pass WebSockets on: the price buys so many seconds, then it is closed with the code 4402.",
            valueName: "seconds"
        )
    )
    var websocketSeconds: Int64?
    @Option(
        name: [.customLong("max-request"), .customLong("body-limit")],
        help: "The longest request body, in bytes; over it 413."
    )
    var maxRequest: Int64?
    @Option(help: "The longest the whole call may take, in seconds; over it 504.") var timeout: Int64?
    @Option(help: "The longest pause in the upstream's answer, or in a long request, in seconds (30).")
    var idleTimeout: Int64?
    @Option(help: "The longest an upstream may take to accept a connection, in seconds (5).") var connectTimeout: Int64?

    func write(to service: inout JSONObject, moreUpstreams: [String]) {
        func list(_ texts: [String]) -> JSONValue? { texts.isEmpty ? nil : .array(texts.map { .string($0) }) }
        service["moreUpstreams"] = list(moreUpstreams)
        service["hosts"] = list(host.map { $0.lowercased() })
        service["cors"] = cors.flatMap { origins in
            list(origins.split(separator: ",").map { $0.filter { $0 != " " } })
        }
        service["balance"] = balance.map { .string($0) }
        if let healthCheck {
            var check: JSONObject = ["path": .string(healthCheck)]
            check["intervalSeconds"] = healthInterval.map { .integer($0) }
            service["healthCheck"] = .object(check)
        }
        if websocket || websocketSeconds != nil {
            var rules = JSONObject()
            rules["paidSeconds"] = websocketSeconds.map { .integer($0) }
            service["webSockets"] = .object(rules)
        }
        var breaker = JSONObject()
        breaker["failures"] = breakerFailures.map { .integer($0) }
        breaker["openSeconds"] = breakerOpen.map { .integer($0) }
        if !breaker.isEmpty { service["breaker"] = .object(breaker) }
        var timeouts = JSONObject()
        timeouts["totalSeconds"] = timeout.map { .integer($0) }
        timeouts["idleSeconds"] = idleTimeout.map { .integer($0) }
        timeouts["connectSeconds"] = connectTimeout.map { .integer($0) }
        if !timeouts.isEmpty { service["timeouts"] = .object(timeouts) }
        service["requestBodyLimitBytes"] = maxRequest.map { .integer($0) }
    }
}
