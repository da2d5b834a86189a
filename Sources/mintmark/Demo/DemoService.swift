import ArgumentParser
import Foundation
import Hummingbird
import NIOCore
import WebServer

/// The service that the demonstration sells: an ordinary HTTP server that knows nothing of money, nodes or
/// passports.
struct DemoServiceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo-service",
        abstract: "The plain HTTP service that `mintmark demo` sells.",
        shouldDisplay: false
    )

    @Option(help: "The port on loopback; 0 lets the system choose.") var port = 0

    func run() async throws {
        let calls = CallCount()
        let router = Router()
        router.get("/today") { _, _ in
            await calls.add()
            return "{\"city\":\"Bern\",\"sky\":\"clear\",\"celsius\":21}\n"
        }
        // Takes its time, so that the demonstration can kill the seller while a paid call is under way.
        router.get("/slow") { _, _ in
            await calls.add()
            try await Task.sleep(for: .milliseconds(1500))
            return "{\"sky\":\"clearing slowly\"}\n"
        }
        // Where a job gets no answer.
        router.get("/broken") { _, _ -> String in
            await calls.add()
            throw HTTPError(.internalServerError)
        }
        router.get("/calls") { _, _ in "\(await calls.count)\n" }
        let application = Application(
            router: router,
            server: .plain(),
            configuration: .init(address: .hostname("127.0.0.1", port: port)),
            onServerRunning: { channel in Output.line("listening on \(channel.localAddress?.port ?? 0)") }
        )
        try await application.runService()
    }
}

private actor CallCount {
    private(set) var count = 0
    func add() { count += 1 }
}
