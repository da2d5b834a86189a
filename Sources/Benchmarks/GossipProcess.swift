internal import Foundation

/// A `GossipPeer`: told lines, tells lines.
final class GossipProcess {
    private let process = Process()
    private let input = Pipe()
    private let outputPath: String
    private var read = 0

    /// Beside this program; nil where it was not built.
    static var executable: URL? {
        let path = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "GossipPeer")
        return FileManager.default.isExecutableFile(atPath: path.path) ? path : nil
    }

    static func missing(_ name: String) -> Measure {
        Measure(name: name, unit: "ms", note: "build it first: swift build -c release --product GossipPeer")
    }

    static func started(_ count: Int, _ executable: URL) async throws -> [GossipProcess] {
        let peers = try (0..<count).map { _ in try GossipProcess(executable) }
        for peer in peers { _ = try await peer.line("peer") }
        return peers
    }

    init(_ executable: URL) throws {
        outputPath = FileManager.default.temporaryDirectory.appending(path: "gossip-\(UUID().uuidString).log").path
        guard FileManager.default.createFile(atPath: outputPath, contents: nil),
            let output = FileHandle(forWritingAtPath: outputPath)
        else { throw BenchmarkError("\(outputPath) can't be written") }
        process.executableURL = executable
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    func tell(_ line: String) { try? input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8)) }

    /// - Returns: what stands after the word.
    func ask(_ line: String, _ word: String) async throws -> String {
        tell(line)
        return try await self.line(word)
    }

    /// Waits for the next line that begins with a word.
    func line(_ word: String, timeoutSeconds: Double = 30) async throws -> String {
        let began = ContinuousClock.now
        while Timing.inSeconds(ContinuousClock.now - began) < timeoutSeconds {
            let text = (try? Data(contentsOf: URL(filePath: outputPath))) ?? Data()
            while let end = text[read...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: text[read..<end], as: UTF8.self)
                read = end + 1
                if line.hasPrefix(word + " ") { return String(line.dropFirst(word.count + 1)) }
                if line.hasPrefix("error ") { throw BenchmarkError(line) }
            }
            try await Task.sleep(for: .milliseconds(5))
        }
        throw BenchmarkError("a peer did not say `\(word)` in time")
    }

    var identifier: Int32 { process.processIdentifier }

    private static func file(_ name: String, of identifier: Int32) -> String {
        (try? String(contentsOfFile: "/proc/\(identifier)/\(name)", encoding: .utf8)) ?? ""
    }

    var cpuSeconds: Double {
        // After the name in parentheses: state is the first, utime and stime the twelfth and thirteenth.
        let fields = Self.file("stat", of: identifier).split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return 0 }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    var residentMegabytes: Double? { Self.residentMegabytes(of: identifier) }

    /// In units of 10^6 bytes, as the kernel counts it.
    static func residentMegabytes(of identifier: Int32) -> Double? {
        file("statm", of: identifier).split(separator: " ").dropFirst().first.flatMap { Double($0) }.map {
            $0 * Double(sysconf(Int32(_SC_PAGESIZE))) / 1e6
        }
    }

    func stop() {
        try? input.fileHandleForWriting.close()
        process.terminate()
        process.waitUntilExit()
        try? FileManager.default.removeItem(atPath: outputPath)
    }
}
