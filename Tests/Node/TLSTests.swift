import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
import TestSupport
import Testing

/// HTTP/2 and HTTP/1.1 over TLS, and a certificate that is exchanged while the node runs.
@Suite(.serialized) struct TLSTests {
    private static let first = (certificate: certificateOne, key: keyOne)
    private static let second = (certificate: certificateTwo, key: keyTwo)

    /// A client that trusts one certificate.
    private func client(
        trusting certificate: String,
        _ version: HTTPClient.Configuration.HTTPVersion = .automatic
    ) throws -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(certificate.utf8)))
        configuration.tlsConfiguration = tls
        configuration.httpVersion = version
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    private func get(_ client: HTTPClient, _ port: Int) async throws -> HTTPClientResponse {
        let response = try await client.execute(
            HTTPClientRequest(url: "https://localhost:\(port)/metrics"),
            timeout: .seconds(20)
        )
        _ = try await response.body.collect(upTo: 1 << 20)
        return response
    }

    @Test("GWY-13: HTTP/2 by ALPN, HTTP/1.1 too; a new certificate is taken up on SIGHUP, and a bad one is not")
    func reload() async throws {
        let folder = try TemporaryFolder()
        let directory = folder.path + "/n"
        func write(_ pair: (certificate: String, key: String)) throws {
            try Data(pair.certificate.utf8).write(to: URL(filePath: folder.path + "/cert.pem"))
            try Data(pair.key.utf8).write(to: URL(filePath: folder.path + "/key.pem"))
        }
        try write(Self.first)
        let ports = try await FreePorts.some(2)
        let simulator = ServerProcess(
            "simulator",
            ["lightning-simulator", "--json", "--port", String(ports[0]), "--data", folder.path],
            logPath: folder.path + "/simulator.log"
        )
        try await simulator.start()
        let made = try await Program.run(["init", "--json", "--data", directory])
        #expect(made.status == 0)
        let process = ServerProcess(
            "node",
            [
                "serve", "--json", "--data", directory, "--port", String(ports[1]), "--set",
                "http.tlsCertificate=\(folder.path)/cert.pem", "--set", "http.tlsKey=\(folder.path)/key.pem",
                "--set", "lightning.simulatedURL=http://127.0.0.1:\(ports[0])", "--set",
                "http.publicURL=https://localhost:\(ports[1])",
            ],
            logPath: folder.path + "/log"
        )
        try await process.start()
        let clients = [
            try client(trusting: Self.first.certificate), try client(trusting: Self.first.certificate, .http1Only),
        ]
        let later = try client(trusting: Self.second.certificate)
        do {
            #expect(try await get(clients[0], ports[1]).version == .http2)
            #expect(try await get(clients[1], ports[1]).version == .http1_1)
            await #expect(throws: (any Error).self) { try await get(later, ports[1]) }
            try write(Self.second)
            process.signal(SIGHUP)
            var status = 0
            for _ in 0..<100 where status != 200 {
                status = Int((try? await get(later, ports[1]).status.code) ?? 0)
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(status == 200)
            // The connections of before go on: these clients trust no new one.
            for client in clients { #expect(try await get(client, ports[1]).status == .ok) }
            try Data("nonsense".utf8).write(to: URL(filePath: folder.path + "/key.pem"))
            process.signal(SIGHUP)
            try await Task.sleep(for: .milliseconds(500))
            let last = try client(trusting: Self.second.certificate)
            let answer = try? await get(last, ports[1]).status
            try await last.shutdown()
            #expect(answer == .ok)
            #expect(process.isRunning)
        } catch {
            Issue.record("\(error) \(process.log().suffix(1500))")
        }
        for client in clients + [later] { try await client.shutdown() }
        #expect(await process.stop() == 0)
        await simulator.kill()
    }

    // Made for these tests alone, for localhost; their keys guard nothing.
    private static let certificateOne = """
        -----BEGIN CERTIFICATE-----
        MIIBmDCCAT+gAwIBAgIUL1Z1A5MVETQB/v1lko/ghZtjatowCgYIKoZIzj0EAwIw
        FjEUMBIGA1UEAwwLb25lLmV4YW1wbGUwIBcNMjYxMTI5MDIxMzU2WhgPMjA4MTA5
        MDEwMjEzNTZaMBYxFDASBgNVBAMMC29uZS5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
        KoZIzj0DAQcDQgAEetVWbLqd5XFcy0DEoGCqdfIOgk5vEQ0GHwEvdWmFdo24XD46
        1r3S+NygKS4gBRVi0s7zGIdGU1jsKWV1Lgi8aaNpMGcwHQYDVR0OBBYEFPgbv5a7
        UbRj8ZRCQw7HzNaLb0DAMB8GA1UdIwQYMBaAFPgbv5a7UbRj8ZRCQw7HzNaLb0DA
        MA8GA1UdEwEB/wQFMAMBAf8wFAYDVR0RBA0wC4IJbG9jYWxob3N0MAoGCCqGSM49
        BAMCA0cAMEQCIAcNmoNwjFw/1bIlHtNg2HrJ/eBlgoAJV51u5DDfYqhNAiBU6zXW
        dfhtrCOJbmxAQTv/djeNmQO3CIHg0vKXhmAwwQ==
        -----END CERTIFICATE-----

        """
    private static let keyOne = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg07sAU3EMoJtqXEVB
        q+uvsnHqhjuvQuPzSHhNABn+rrShRANCAAR61VZsup3lcVzLQMSgYKp18g6CTm8R
        DQYfAS91aYV2jbhcPjrWvdL43KApLiAFFWLSzvMYh0ZTWOwpZXUuCLxp
        -----END PRIVATE KEY-----

        """
    private static let certificateTwo = """
        -----BEGIN CERTIFICATE-----
        MIIBmTCCAT+gAwIBAgIUajGazRz1dlUX9OthWmMvfjFaPa0wCgYIKoZIzj0EAwIw
        FjEUMBIGA1UEAwwLdHdvLmV4YW1wbGUwIBcNMjYxMTI5MDIxMzU2WhgPMjA4MTA5
        MDEwMjEzNTZaMBYxFDASBgNVBAMMC3R3by5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
        KoZIzj0DAQcDQgAET4MrPHMFleRCIPa0owqPTgSPRvGtf52Xn9ZoMJq0q+cGz22U
        Z0sSRMavDOcHXSdHGhGVFwxjBZcBXsbbI6KFC6NpMGcwHQYDVR0OBBYEFJr7eF79
        UqRz6svBQ+7eYshSP43iMB8GA1UdIwQYMBaAFJr7eF79UqRz6svBQ+7eYshSP43i
        MA8GA1UdEwEB/wQFMAMBAf8wFAYDVR0RBA0wC4IJbG9jYWxob3N0MAoGCCqGSM49
        BAMCA0gAMEUCIQCT/iJaUFDNQlYRVj3TrzASfdjgqXAgwQtkBXVIMcvOMQIgLbCV
        npijV9Isl6DVHxkaddO0U6aKimEQahk2O8vf7IE=
        -----END CERTIFICATE-----

        """
    private static let keyTwo = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgN8z8pGEwIV4YdPrL
        d6cQYPMpI5wqq9zIB55mpKm383OhRANCAARPgys8cwWV5EIg9rSjCo9OBI9G8a1/
        nZef1mgwmrSr5wbPbZRnSxJExq8M5wddJ0caEZUXDGMFlwFextsjooUL
        -----END PRIVATE KEY-----

        """
}
