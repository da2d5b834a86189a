import Foundation
import TestSupport
import Testing

/// `mintmark … | head -1`, and a log that nobody takes any more.
@Suite("Readers that have gone", .serialized, .timeLimit(.minutes(2)))
struct GoneReaderTests {
    /// A pipe that nobody reads.
    private static func unread() throws -> FileHandle {
        let pipe = Pipe()
        try pipe.fileHandleForReading.close()
        return pipe.fileHandleForWriting
    }

    private static func process(_ arguments: [String]) -> Process {
        let process = Process()
        process.executableURL = Program.executable
        process.arguments = arguments
        process.environment = Program.environment()
        process.standardInput = FileHandle.nullDevice
        return process
    }

    private static func ended(_ process: Process) async throws -> Bool {
        for _ in 0..<600 {
            guard process.isRunning else { return true }
            try await Task.sleep(for: .milliseconds(50))
        }
        process.terminate()
        return false
    }

    @Test("A command whose reader has gone ends with status 1, and does not crash")
    func command() async throws {
        try await World.with { world in
            let process = Self.process(["wallet", "balance", "--data", world.buyer.directory])
            process.standardOutput = try Self.unread()
            process.standardError = try Self.unread()
            try process.run()
            #expect(try await Self.ended(process))
            #expect(process.terminationReason == .exit && process.terminationStatus == 1)
        }
    }

    @Test("A node goes on where nobody takes its log any more")
    func log() async throws {
        try await World.with(starts: false) { world in
            let process = Self.process(
                ["serve", "--json", "--data", world.seller.directory, "--set", "log.format=json"]
                    + ["--set", "log.level=debug"]
            )
            process.standardOutput = FileHandle.nullDevice
            process.standardError = try Self.unread()
            try process.run()
            for _ in 0..<600 where process.isRunning {
                let health = try? await world.get(world.seller.url + "/health")
                if health?.status == 200 { break }
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(try await world.get(world.seller.url + "/health").status == 200)
            process.terminate()
            #expect(try await Self.ended(process))
            #expect(process.terminationReason == .exit && process.terminationStatus == 0)
        }
    }
}
