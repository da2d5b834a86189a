import AsyncHTTPClient
import CanonicalJSON
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import TestSupport
import Testing

/// A node that cannot start, or may not, says what to do, and leaves everything as it was.
@Suite("Starting a node under bad conditions", .serialized)
struct StartTests {
    /// A data directory with keys in it, and no Lightning anywhere.
    private struct Place {
        let folder: TemporaryFolder
        var directory: String { folder.path + "/n" }

        init() async throws {
            folder = try TemporaryFolder()
            let made = try await Program.run(["init", "--json", "--data", folder.path + "/n"])
            guard made.status == 0 else { throw ServerProcess.NotReady(description: "\(made)") }
        }

        func serve(_ more: String..., environment: [String: String] = [:]) async throws -> Program.Outcome {
            let port = try await FreePorts.some(1)[0]
            return try await Program.run(
                ["serve", "--json", "--data", directory, "--port", String(port)] + more,
                environment: environment,
                timeoutSeconds: 90
            )
        }

        func write(_ text: String, to name: String) throws {
            try Data(text.utf8).write(to: URL(filePath: directory + "/" + name))
        }

        /// The data directory's files with their contents, but for the lock.
        func contents() throws -> [String: Data] {
            var contents: [String: Data] = [:]
            for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name != "lock" {
                contents[name] = FileManager.default.contents(atPath: directory + "/" + name) ?? Data()
            }
            return contents
        }
    }

    private func expectRefusal(
        _ outcome: Program.Outcome,
        naming words: String...,
        location: SourceLocation = #_sourceLocation
    ) {
        #expect(outcome.status == 1, "\(outcome)", sourceLocation: location)
        let sentence = outcome.json["error"]?.stringValue ?? ""
        for word in words { #expect(sentence.contains(word), "\(outcome)", sourceLocation: location) }
        // A sentence for people, not a dump of the program's insides.
        #expect(!sentence.contains("Error("), "\(sentence)", sourceLocation: location)
    }

    @Test("A port in use")
    func portInUse() async throws {
        let place = try await Place()
        let other = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(other.localAddress?.port)
        let outcome = try await Program.run(
            ["serve", "--json", "--data", place.directory, "--port", String(port)],
            timeoutSeconds: 90
        )
        expectRefusal(outcome, naming: String(port), "--port")
        try await other.close()
        let process = ServerProcess(
            "node",
            ["serve", "--json", "--data", place.directory, "--port", String(port)],
            logPath: place.folder.path + "/log"
        )
        try await process.start()
        #expect(await process.stop() == 0)
    }

    @Test("The database of another node, of a newer version, of another program, and a damaged one")
    func foreignDatabase() async throws {
        let (one, two) = (try await Place(), try await Place())
        for place in [one, two] {
            let status = try await Program.run(["status", "--json", "--data", place.directory])
            #expect(status.status == 0, "\(status)")
        }
        let own = try Data(contentsOf: URL(filePath: one.directory + "/node.sqlite"))
        let others = try Data(contentsOf: URL(filePath: two.directory + "/node.sqlite"))
        try others.write(to: URL(filePath: one.directory + "/node.sqlite"))
        expectRefusal(try await one.serve(), naming: "belongs to the node", "put back")
        // The refused file is as good as before, where it belongs.
        try Data(contentsOf: URL(filePath: one.directory + "/node.sqlite"))
            .write(to: URL(filePath: two.directory + "/node.sqlite"))
        #expect(try await Program.run(["status", "--audit", "--json", "--data", two.directory]).status == 0)
        try one.write(String(repeating: "no database at all ", count: 1000), to: "node.sqlite")
        expectRefusal(try await one.serve(), naming: "node.sqlite", "not a database of this program")
        try own.write(to: URL(filePath: one.directory + "/node.sqlite"))
        #expect(try await Program.run(["status", "--json", "--data", one.directory]).status == 0)
    }

    @Test("A directory that another process holds")
    func locked() async throws {
        let place = try await Place()
        let port = try await FreePorts.some(1)[0]
        let process = ServerProcess(
            "node",
            ["serve", "--json", "--data", place.directory, "--port", String(port)],
            logPath: place.folder.path + "/log"
        )
        try await process.start()
        let second = try await place.serve()
        expectRefusal(second, naming: "in use by another mintmark process", "pid")
        // A command is no second writer: it asks the node that runs.
        let status = try await Program.run(["status", "--json", "--data", place.directory])
        #expect(status.json["running"]?.boolValue == true, "\(status)")
        await process.kill()
        // A killed node leaves its socket and its lock file; neither keeps the next one out.
        let after = try await Program.run(["status", "--json", "--data", place.directory])
        #expect(after.status == 0, "\(after)")
        #expect(after.json["running"]?.boolValue == false)
    }

    @Test("Configuration that cannot be read, names what does not exist, or says what cannot be")
    func configuration() async throws {
        let place = try await Place()
        let before = try place.contents()
        for (text, words) in [
            ("{", ["config.json", "JSON"]), ("[]", ["config.json", "object"]),
            ("{\"http\":{\"prot\":8402}}", ["http.prot"]), ("{\"http\":{\"port\":\"many\"}}", ["http.port", "many"]),
            ("{\"http\":{\"port\":70000}}", ["http.port", "65535"]),
            ("{\"mint\":{\"enabled\":\"maybe\"}}", ["mint.enabled"]),
            ("{\"network\":\"testnet\"}", ["network", "simulated", "mainnet"]),
            ("{\"log\":{\"level\":\"loud\"}}", ["log.level"]),
        ] {
            try place.write(text, to: "config.json")
            // Not by flags, so that the file's own port is looked at.
            let outcome = try await Program.run(["serve", "--json", "--data", place.directory], timeoutSeconds: 90)
            #expect(outcome.status == 1, "\(text): \(outcome)")
            let sentence = outcome.json["error"]?.stringValue ?? ""
            for word in words { #expect(sentence.contains(word), "\(text): \(outcome)") }
        }
        try FileManager.default.removeItem(atPath: place.directory + "/config.json")
        try FileManager.default.createDirectory(
            atPath: place.directory + "/config.json",
            withIntermediateDirectories: false
        )
        expectRefusal(try await place.serve(), naming: "config.json", "cannot be read")
        try FileManager.default.removeItem(atPath: place.directory + "/config.json")
        expectRefusal(try await place.serve("--set", "mint.colour=blue"), naming: "mint.colour")
        expectRefusal(
            try await place.serve(environment: ["MINTMARK_MINT_INPUT_FEE_PPK": "lots"]),
            naming: "mint.inputFeePPK"
        )
        #expect(try place.contents() == before)
    }

    @Test("Money that is not what it says, and doors that stand open")
    func unsafe() async throws {
        let place = try await Place()
        expectRefusal(try await place.serve("--set", "network=mainnet"), naming: "TEST MONEY", "mainnet")
        expectRefusal(try await place.serve("--host", "0.0.0.0"), naming: "TLS", "http.tlsCertificate")
        expectRefusal(try await place.serve("--set", "http.tlsCertificate=/nowhere"), naming: "http.tlsKey")
        expectRefusal(
            try await place.serve("--set", "http.tlsCertificate=/nowhere", "--set", "http.tlsKey=/nowhere"),
            naming: "/nowhere",
            "PEM"
        )
        let mode = [FileAttributeKey.posixPermissions: 0o755]
        try FileManager.default.setAttributes(mode, ofItemAtPath: place.directory)
        expectRefusal(try await place.serve(), naming: "can be read by others", "chmod 700")
    }

    @Test("A wrong passphrase, and none")
    func passphrase() async throws {
        let place = try await Place()
        let before = try place.contents()
        let wrong = try await place.serve(environment: ["MINTMARK_PASSPHRASE": "not it"])
        #expect(wrong.status == 1, "\(wrong)")
        #expect(wrong.json["error"]?.stringValue?.contains("passphrase") == true, "\(wrong)")
        #expect(!wrong.output.contains("not it") && !wrong.errors.contains("not it"))
        try FileManager.default.moveItem(atPath: place.directory + "/passphrase", toPath: place.folder.path + "/kept")
        let none = try await place.serve()
        #expect(none.status == 3, "\(none)")
        #expect(none.json["error"]?.stringValue?.contains("MINTMARK_PASSPHRASE_FILE") == true)
        let given = try await Program.run(
            ["status", "--json", "--data", place.directory],
            environment: ["MINTMARK_PASSPHRASE_FILE": place.folder.path + "/kept"]
        )
        #expect(given.status == 0, "\(given)")
        try FileManager.default.moveItem(atPath: place.folder.path + "/kept", toPath: place.directory + "/passphrase")
        #expect(try place.contents()["vault.json"] == before["vault.json"])
    }

    @Test("Without the Lightning simulator a node starts, and funding says what is missing")
    func noSimulator() async throws {
        let place = try await Place()
        let ports = try await FreePorts.some(2)
        let process = ServerProcess(
            "node",
            [
                "serve", "--json", "--data", place.directory, "--port", String(ports[0]), "--set",
                "lightning.simulatedURL=http://127.0.0.1:\(ports[1])",
            ],
            logPath: place.folder.path + "/log"
        )
        try await process.start()
        #expect(process.log().contains("mintmark lightning-simulator"))
        let funded = try await Program.run(["wallet", "fund", "10sat", "--json", "--data", place.directory])
        #expect(funded.status == 1, "\(funded)")
        #expect(funded.json["error"]?.stringValue?.isEmpty == false)
        #expect(try await Program.run(["agent", "register", "a", "--json", "--data", place.directory]).status == 0)
        // Once the simulator is there, the node finds it by itself.
        let simulator = ServerProcess(
            "simulator",
            ["lightning-simulator", "--json", "--port", String(ports[1]), "--data", place.folder.path],
            logPath: place.folder.path + "/simulator.log"
        )
        try await simulator.start()
        var again = funded
        for _ in 0..<40 where again.status != 0 {
            again = try await Program.run(["wallet", "fund", "10sat", "--json", "--data", place.directory])
            if again.status != 0 { try await Task.sleep(for: .milliseconds(500)) }
        }
        #expect(again.status == 0, "\(again) \(process.log().suffix(1500))")
        await process.kill()
        await simulator.kill()
    }

    @Test("TLS with a certificate of one's own")
    func tls() async throws {
        let place = try await Place()
        try place.write(Self.certificate, to: "cert.pem")
        try place.write(Self.key, to: "key.pem")
        let port = try await FreePorts.some(1)[0]
        let process = ServerProcess(
            "node",
            [
                "serve", "--json", "--data", place.directory, "--host", "0.0.0.0", "--port", String(port), "--set",
                "http.tlsCertificate=\(place.directory)/cert.pem", "--set", "http.tlsKey=\(place.directory)/key.pem",
                "--set", "http.publicURL=https://127.0.0.1:\(port)",
            ],
            logPath: place.folder.path + "/log"
        )
        let ready = try await process.start()
        #expect(ready["publicURL"]?.stringValue == "https://127.0.0.1:\(port)")
        var configuration = HTTPClient.Configuration()
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(Self.certificate.utf8)))
        configuration.tlsConfiguration = tls
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        let health = try await client.execute(
            HTTPClientRequest(url: "https://127.0.0.1:\(port)/health"),
            timeout: .seconds(20)
        )
        #expect(health.status == .ok)
        try await client.shutdown()
        #expect(await process.stop() == 0)
    }

    /// Made for these tests alone, for 127.0.0.1; its key guards nothing.
    private static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBmjCCAUGgAwIBAgIUbUJyLMdMcjbfkATI2wjgHexhLsgwCgYIKoZIzj0EAwIw
        FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyMTA3MjYzMFoYDzIxMjYxMDI4
        MDcyNjMwWjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
        PQMBBwNCAATjPPTHTcZrprDQjxT0Ihs2p3S4gjHIvOc1VEJGji95EohQFmGs/FUd
        0bfulxtW41g7pkJwVsxECqLVsg3LKv08o28wbTAdBgNVHQ4EFgQU12n0/VPwAJc4
        b9L6DKI9Z1CqfvcwHwYDVR0jBBgwFoAU12n0/VPwAJc4b9L6DKI9Z1CqfvcwDwYD
        VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARhwR/AAABgglsb2NhbGhvc3QwCgYIKoZI
        zj0EAwIDRwAwRAIgPuuoFKKWSnRGXraOXAqc8MaBUlpG/234/CLLLnD2el8CIADw
        jcUXz1m24nqknqSe/Ig4uLKA/1za/VRi35vzFqz/
        -----END CERTIFICATE-----

        """
    private static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgYumSrY5GQSJ/ZOEh
        R+xXn49MZy1WHeRYhpwZVKTZ5b2hRANCAATjPPTHTcZrprDQjxT0Ihs2p3S4gjHI
        vOc1VEJGji95EohQFmGs/FUd0bfulxtW41g7pkJwVsxECqLVsg3LKv08
        -----END PRIVATE KEY-----

        """
}
