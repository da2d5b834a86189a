internal import CanonicalJSON
internal import Logging
internal import NIOCore
internal import Storage
internal import Synchronization

/// A service with its open connections.
struct ServiceEntry: Sendable {
    var definition: ServiceDefinition
    var upstream: UpstreamPool
    /// nil where nothing is given back by itself.
    var promise: CallPromise?
}

/// The services for sale: on disk, and in memory for every call.
final class ServiceRegistry: Sendable {
    static let maximumServices = 1024

    private let database: Database
    private let group: any EventLoopGroup
    private let logger: Logger
    private let policy: UpstreamPolicy
    private let entries = Mutex<[String: ServiceEntry]>([:])
    /// The name of the service that is sold at a host.
    private let names = Mutex<[String: String]>([:])

    init(database: Database, group: any EventLoopGroup, policy: UpstreamPolicy, logger: Logger) {
        self.database = database
        self.group = group
        self.policy = policy
        self.logger = logger
    }

    /// Reads what is on disk. A definition that can't be read any more is left out and logged; it stays on disk.
    func load() async throws {
        let rows = try await database.read { connection in
            try connection.rows("SELECT name, definition FROM gateway_services ORDER BY name").map {
                (try $0.text(0), try $0.text(1))
            }
        }
        for (name, text) in rows {
            do {
                let definition = try ServiceDefinition(json: JSONValue.parse(Array(text.utf8)))
                put(definition)
            } catch {
                logger.error(
                    "a service can't be read and is not sold",
                    metadata: ["service": "\(name)", "error": "\(error)"]
                )
            }
        }
    }

    func entry(_ name: String) -> ServiceEntry? {
        entries.withLock { $0[name] }
    }

    func entry(host: String) -> ServiceEntry? {
        names.withLock { $0[host] }.flatMap { entry($0) }
    }

    /// - Throws: ``GatewayError`` `invalid-service` where an upstream's address is one that the operator does not allow. A
    ///   name is judged when it is looked up.
    func requireAllowed(_ service: ServiceDefinition) throws(GatewayError) {
        for address in service.upstreams {
            if let ip = IPAddress(address.bareHost), let why = policy.refusal(of: ip) {
                throw GatewayError(.invalidService, "The upstream \(address) is not allowed: \(why).")
            }
        }
    }

    func all() -> [ServiceDefinition] {
        entries.withLock { $0.values.map(\.definition) }.sorted { $0.name < $1.name }
    }

    /// Puts a service on sale.
    /// - Parameter replaces: whether one of the same name is changed instead of refused.
    func add(_ definition: ServiceDefinition, replaces: Bool, at milliseconds: Int64) async throws {
        let text = String(decoding: definition.json.serialized(), as: UTF8.self)
        try await database.write { connection in
            try Self.requireUnsoldHosts(of: definition, in: connection)
            let exists =
                try connection.first("SELECT 1 FROM gateway_services WHERE name = ?", .text(definition.name)) != nil
            guard !exists || replaces else {
                throw GatewayError(
                    .serviceExists,
                    "A service named \"\(definition.name)\" is for sale already; remove it first, or replace it."
                )
            }
            let count = try connection.first("SELECT count(*) FROM gateway_services")?.int(0) ?? 0
            guard exists || count < Self.maximumServices else {
                throw GatewayError(.tooManyServices, "A node sells at most \(Self.maximumServices) services.")
            }
            try connection.execute(
                """
                INSERT INTO gateway_services (name, definition, added_at) VALUES (?, ?, ?)
                ON CONFLICT (name) DO UPDATE SET definition = excluded.definition
                """,
                .text(definition.name),
                .text(text),
                .integer(milliseconds)
            )
        }
        put(definition)
    }

    /// A host is one service's.
    private static func requireUnsoldHosts(of definition: ServiceDefinition, in connection: Connection) throws {
        guard !definition.proxy.hosts.isEmpty else { return }
        let rows = try connection.rows(
            "SELECT name, definition FROM gateway_services WHERE name <> ?",
            .text(definition.name)
        )
        for row in rows {
            let other = try JSONValue.parse(Array(try row.text(1).utf8)).objectValue ?? [:]
            let taken = Set((try? ProxyRules.texts(other, "hosts")) ?? [])
            if let host = definition.proxy.hosts.first(where: taken.contains) {
                throw GatewayError(.serviceExists, "The service \"\(try row.text(0))\" is sold at \(host) already.")
            }
        }
    }

    /// Takes a service off sale. Calls that run go on.
    func remove(_ name: String) async throws {
        try await database.write { connection in
            try connection.execute("DELETE FROM gateway_services WHERE name = ?", .text(name))
            guard connection.changes == 1 else {
                throw GatewayError(.serviceUnknown, "No service is named \"\(name)\".")
            }
        }
        names.withLock { names in names = names.filter { $0.value != name } }
        if let old = entries.withLock({ $0.removeValue(forKey: name) }) { retire(old) }
    }

    private func put(_ definition: ServiceDefinition) {
        let entry = ServiceEntry(
            definition: definition,
            upstream: UpstreamPool(service: definition, group: group, policy: policy, logger: logger),
            promise: CallPromise(definition)
        )
        let old = entries.withLock { table in
            let old = table[definition.name]
            table[definition.name] = entry
            return old
        }
        names.withLock { names in
            names = names.filter { $0.value != definition.name }
            for host in definition.proxy.hosts { names[host] = definition.name }
        }
        entry.upstream.start()
        if let old { retire(old) }
    }

    /// Closes the connections of a service once no call can be using them.
    private func retire(_ entry: ServiceEntry) {
        entry.upstream.stop()
        let seconds = entry.definition.timeouts.totalSeconds + 1
        Task {
            try? await Task.sleep(for: .seconds(seconds))
            await entry.upstream.shutdown()
        }
    }

    func shutdown() async {
        let all = entries.withLock { table in
            defer { table = [:] }
            return Array(table.values)
        }
        for entry in all { await entry.upstream.shutdown() }
    }
}
