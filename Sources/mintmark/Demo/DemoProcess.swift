import Foundation
import NIOCore
import NIOPosix

/// A child process of the demonstration: this same program, with another command.
final class DemoProcess {
    let name: String
    private let arguments: [String]
    private let environment: [String: String]
    private let logPath: String
    private var process: Process?

    init(_ name: String, _ arguments: [String], environment: [String: String], logPath: String) {
        self.name = name
        self.arguments = arguments
        self.environment = environment
        self.logPath = logPath
    }

    /// Starts it and waits until it has written a line that begins with `mark`.
    /// - Returns: that line.
    @discardableResult
    func start(untilLine mark: String, timeoutSeconds: Double = 15) async throws -> String {
        if !FileManager.default.fileExists(atPath: logPath) {
            _ = FileManager.default.createFile(atPath: logPath, contents: nil, attributes: [.posixPermissions: 0o600])
        }
        guard let log = FileHandle(forWritingAtPath: logPath) else { throw Failure("\(logPath) cannot be written") }
        let offset = try log.seekToEnd()
        let process = Process()
        process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = log
        process.standardError = log
        try process.run()
        self.process = process
        let deadline = Date.now.addingTimeInterval(timeoutSeconds)
        while Date.now < deadline {
            let text = try written(from: offset)
            if let line = text.split(separator: "\n").first(where: { $0.hasPrefix(mark) }) { return String(line) }
            guard process.isRunning else { throw Failure("\(name) ended at its start: \(text.suffix(2000))") }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw Failure(
            "\(name) was not ready within \(Int(timeoutSeconds)) s: \(try written(from: offset).suffix(2000))"
        )
    }

    private func written(from offset: UInt64) throws -> String {
        guard let reader = FileHandle(forReadingAtPath: logPath) else { return "" }
        try reader.seek(toOffset: offset)
        return String(decoding: try reader.readToEnd() ?? Data(), as: UTF8.self)
    }

    /// Ends it without warning, as a power cut would.
    func kill() {
        guard let process, process.isRunning else { return }
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Asks it to finish what is under way, then waits.
    func stop() {
        guard let process, process.isRunning else { return }
        process.terminate()
        let deadline = Date.now.addingTimeInterval(10)
        while process.isRunning, Date.now < deadline { usleep(10_000) }
        kill()
    }

    /// Resident memory in bytes, as the kernel counts it.
    var residentBytes: Int {
        guard let process,
            let text = try? String(contentsOfFile: "/proc/\(process.processIdentifier)/statm", encoding: .utf8),
            let pages = text.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { return 0 }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    /// A TCP port of loopback that nobody uses at the moment.
    static func freePort() async throws -> Int {
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = channel.localAddress?.port ?? 0
        try await channel.close()
        return port
    }
}
