internal import CanonicalJSON
internal import Foundation

/// A process of the benchmark's own: its output goes to a file, read as it grows.
final class ChildProcess {
    private let process = Process()
    private let outputPath: String

    init(_ executable: URL, _ arguments: [String], folder: URL) {
        outputPath = folder.appending(path: UUID().uuidString + ".log").path
        process.executableURL = executable
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
    }

    private func launch() throws {
        guard FileManager.default.createFile(atPath: outputPath, contents: nil),
            let output = FileHandle(forWritingAtPath: outputPath)
        else { throw BenchmarkError("\(outputPath) can't be written") }
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    private var lines: [JSONValue] {
        let text = (try? String(contentsOfFile: outputPath, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").compactMap { try? JSONValue.parse(Array($0.utf8)) }
    }

    /// Starts it and waits for its first line of JSON.
    func start(timeoutSeconds: Double = 20) async throws -> (line: JSONValue, seconds: Double) {
        let clock = ContinuousClock()
        let began = clock.now
        try launch()
        while Timing.inSeconds(clock.now - began) < timeoutSeconds {
            if let line = lines.first { return (line, Timing.inSeconds(clock.now - began)) }
            guard process.isRunning else { break }
            try await Task.sleep(for: .milliseconds(2))
        }
        stop()
        throw BenchmarkError("`\(process.arguments?.joined(separator: " ") ?? "")` did not get ready")
    }

    /// Runs it to its end.
    /// - Returns: its last line of JSON, if any, and how long it took.
    @discardableResult
    func finish() throws -> (line: JSONValue?, seconds: Double) {
        let clock = ContinuousClock()
        let began = clock.now
        try launch()
        process.waitUntilExit()
        let seconds = Timing.inSeconds(clock.now - began)
        guard process.terminationStatus == 0 else {
            throw BenchmarkError(
                "`\(process.arguments?.joined(separator: " ") ?? "")` ended with status \(process.terminationStatus)"
            )
        }
        return (lines.last, seconds)
    }

    var identifier: Int32 { process.processIdentifier }

    /// Resident memory in MB (10^6 bytes), as the kernel counts it.
    func residentMegabytes() throws -> Double {
        let path = "/proc/\(process.processIdentifier)/statm"
        guard let text = try? String(contentsOfFile: path, encoding: .utf8),
            let pages = text.split(separator: " ").dropFirst().first.flatMap({ Double($0) })
        else { throw BenchmarkError("\(path) can't be read") }
        return pages * Double(sysconf(Int32(_SC_PAGESIZE))) / 1e6
    }

    /// Ends it: asks first, and does not wait longer than ten seconds.
    func stop() {
        guard process.isRunning else { return }
        process.terminate()
        for _ in 0..<1000 where process.isRunning { usleep(10_000) }
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
    }
}
