import CanonicalJSON
import Foundation
import Synchronization

/// The program under test, run as a user runs it.
enum Program {
    /// What a command printed and how it ended.
    struct Outcome: Sendable, CustomStringConvertible {
        var status: Int32
        var output: String
        var errors: String

        /// Standard output as one JSON value; null where it is none.
        var json: JSONValue {
            let limits = JSONLimits(maximumBytes: 16 << 20, acceptsUInt64: true)
            return (try? JSONValue.parse(Array(output.utf8), limits: limits)) ?? .null
        }

        var description: String { "exit status \(status)\n\(output)\n\(errors)" }
    }

    /// `mintmark` beside the test bundle, where SwiftPM builds both; `MINTMARK_EXECUTABLE` names another one, such as a
    /// release build for a long run.
    static let executable: URL = {
        let environment = ProcessInfo.processInfo.environment
        if let path = environment["MINTMARK_EXECUTABLE"], !path.isEmpty { return URL(filePath: path) }
        let running = URL(filePath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        var folders = [Bundle.main.bundleURL, Bundle.main.bundleURL.deletingLastPathComponent()]
        var folder = running
        for _ in 0..<4 {
            folder = folder.deletingLastPathComponent()
            folders.append(folder)
        }
        let candidates = folders.map { $0.appending(path: "mintmark") }
        return candidates.first { FileManager.default.isExecutableFile(atPath: $0.path) } ?? candidates[0]
    }()

    /// The tests' own environment without what would change a node's behaviour.
    static func environment(_ more: [String: String] = [:]) -> [String: String] {
        ProcessInfo.processInfo.environment
            .filter { !$0.key.hasPrefix("MINTMARK_") }
            .merging(more) { $1 }
    }

    /// Runs a command to its end.
    /// - Parameters:
    ///   - terminal: where it is there, it is asked and told on it.
    ///   - timeoutSeconds: after which it is killed; the outcome's status is then 9 and more.
    static func run(
        _ arguments: [String],
        environment: [String: String] = [:],
        input: String = "",
        terminal: Terminal? = nil,
        timeoutSeconds: Double = 60
    ) async throws -> Outcome {
        let process = Process()
        process.executableURL = executable
        process.arguments = arguments
        process.environment = self.environment(environment)
        let files = try ScratchFiles(input: input)
        process.standardInput = terminal?.device ?? files.input
        process.standardOutput = files.output
        process.standardError = terminal?.device ?? files.errors
        try await OpenFiles.settle()
        try process.run()
        files.close()
        let deadline = ContinuousClock.now + .seconds(timeoutSeconds)
        while process.isRunning {
            if ContinuousClock.now > deadline { kill(process.processIdentifier, SIGKILL) }
            try await Task.sleep(for: .milliseconds(2))
        }
        let (output, errors) = try files.read()
        return Outcome(status: process.terminationStatus, output: output, errors: errors)
    }
}

/// Where a command's output goes: files, since a pipe that nobody reads makes its writer wait.
private final class ScratchFiles {
    private let folder: URL
    let input: FileHandle
    let output: FileHandle
    let errors: FileHandle

    init(input text: String) throws {
        folder = URL(filePath: NSTemporaryDirectory()).appending(path: "mmc-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: folder.appending(path: "in"))
        try Data().write(to: folder.appending(path: "out"))
        try Data().write(to: folder.appending(path: "err"))
        input = try FileHandle(forReadingFrom: folder.appending(path: "in"))
        output = try FileHandle(forWritingTo: folder.appending(path: "out"))
        errors = try FileHandle(forWritingTo: folder.appending(path: "err"))
    }

    /// Once the process has its own: Foundation keeps what a `Process` was given, and with it every file of every command.
    func close() {
        for handle in [input, output, errors] { try? handle.close() }
    }

    func read() throws -> (output: String, errors: String) {
        (
            String(decoding: try Data(contentsOf: folder.appending(path: "out")), as: UTF8.self),
            String(decoding: try Data(contentsOf: folder.appending(path: "err")), as: UTF8.self)
        )
    }

    deinit { try? FileManager.default.removeItem(at: folder) }
}

/// A `mintmark` process that goes on until it is told to stop, or killed.
final class ServerProcess: Sendable {
    let name: String
    private let arguments: [String]
    private let environment: [String: String]
    private let logPath: String
    private let inputPath: String?
    private let terminal: Terminal?
    private let process = Mutex<Process?>(nil)

    /// - Parameters:
    ///   - logPath: what it prints, appended over all its lives.
    ///   - inputPath: what it reads as its standard input; nil: nothing, or what is typed on the terminal.
    init(
        _ name: String,
        _ arguments: [String],
        environment: [String: String] = [:],
        logPath: String,
        inputPath: String? = nil,
        terminal: Terminal? = nil
    ) {
        self.name = name
        self.arguments = arguments
        self.environment = environment
        self.logPath = logPath
        self.inputPath = inputPath
        self.terminal = terminal
    }

    struct NotReady: Error, CustomStringConvertible {
        let description: String
    }

    /// Starts it and waits until it says in JSON that it is ready.
    /// - Returns: that line.
    @discardableResult
    func start(timeoutSeconds: Double = 60) async throws -> JSONValue {
        if !FileManager.default.fileExists(atPath: logPath) {
            _ = FileManager.default.createFile(atPath: logPath, contents: nil)
        }
        let file = try FileHandle(forWritingTo: URL(filePath: logPath))
        let offset = try file.seekToEnd()
        let started = Process()
        started.executableURL = Program.executable
        started.arguments = arguments
        started.environment = Program.environment(environment)
        let input = try inputPath.map { try FileHandle(forReadingFrom: URL(filePath: $0)) }
        started.standardInput = terminal?.device ?? input ?? FileHandle.nullDevice
        started.standardOutput = file
        started.standardError = file
        try await OpenFiles.settle()
        try started.run()
        try file.close()
        try input?.close()
        process.withLock { $0 = started }
        let deadline = ContinuousClock.now + .seconds(timeoutSeconds)
        while ContinuousClock.now < deadline {
            // Asked before the log is read, so that its last words are not missed.
            let isRunning = started.isRunning
            let text = log(from: offset)
            for line in text.split(separator: "\n") where line.hasPrefix("{") {
                if let value = try? JSONValue.parse(Array(line.utf8)), value["ready"]?.boolValue == true {
                    return value
                }
            }
            guard isRunning else { throw NotReady(description: "\(name) ended at its start: \(text.suffix(2000))") }
            try await Task.sleep(for: .milliseconds(3))
        }
        await kill()
        throw NotReady(
            description: "\(name) was not ready within \(timeoutSeconds) s: \(log(from: offset).suffix(2000))"
        )
    }

    /// What it has printed since a place in its log.
    func log(from offset: UInt64 = 0) -> String {
        guard let reader = FileHandle(forReadingAtPath: logPath) else { return "" }
        defer { try? reader.close() }
        guard (try? reader.seek(toOffset: offset)) != nil, let data = try? reader.readToEnd() else { return "" }
        return String(decoding: data, as: UTF8.self)
    }

    var isRunning: Bool { process.withLock { $0?.isRunning ?? false } }

    /// As a power cut would end it.
    func kill() async {
        signal(SIGKILL)
        await ended()
    }

    /// Sends the signal and returns at once.
    func signal(_ number: Int32) {
        process.withLock { process in
            guard let process, process.isRunning else { return }
            Foundation.kill(process.processIdentifier, number)
        }
    }

    /// Asks it to finish what is under way.
    /// - Returns: its exit status.
    @discardableResult
    func stop(timeoutSeconds: Double = 25) async -> Int32 {
        signal(SIGTERM)
        let deadline = ContinuousClock.now + .seconds(timeoutSeconds)
        while isRunning, ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(3)) }
        await kill()
        return process.withLock { $0?.terminationStatus ?? -1 }
    }

    private func ended() async {
        // Not cancellable: a process must be gone before its successor takes the directory's lock.
        while isRunning { await Task.detached { try? await Task.sleep(for: .milliseconds(1)) }.value }
    }
}
