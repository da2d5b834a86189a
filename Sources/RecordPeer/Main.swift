internal import Cryptography
internal import Encodings
internal import Foundation
internal import Gossip
internal import Libp2p
internal import Logging
internal import P2PTransport
internal import Peering
internal import Records
internal import SignedDocuments
internal import Storage

/// `RecordPeer NUMBER OF FOLDER ADDRESS`: a node of the gossip network that keeps records and does nothing else, for checks:
/// peering, gossip and repair as `mintmark serve` has them. It is told by lines on its input what to do, and tells by lines on
/// its output.
///
/// It is one of `OF` peers that trust each other as authors; their keys are made of their numbers, so nobody else should.
/// `add ADDRESS`, `publish COUNT`, `peers`, `count`, `set`; it ends with its input.
@main
enum Main {
    private static let kind = RecordKind(
        "note",
        maximumBodyBytes: 2_000,
        maximumLifetimeSeconds: 86_400,
        recordsPerAuthor: 1_000_000,
        totalBytes: 1 << 30
    )
    private static let logger = Logger(label: "record-peer") { _ in SwiftLogNoOpLogHandler() }

    static func main() async throws {
        let words = CommandLine.arguments.dropFirst().map { $0 }
        guard words.count == 4, let number = UInt8(words[0]), let count = UInt8(words[1]), (1...count).contains(number)
        else {
            say("error usage: RecordPeer NUMBER OF FOLDER ADDRESS")
            exit(64)
        }
        let peer = try await RecordPeer(number, of: count, kind: kind, folder: words[2], logger: logger)
        try await peer.start(listening: try Multiaddr(parsing: words[3]))
        say("peer \(try await peer.address())")
        while let line = await nextLine() {
            let words = line.split(separator: " ").map(String.init)
            do {
                say(try await peer.run(words))
            } catch {
                say("error \(error)")
            }
        }
        await peer.stop()
    }

    /// One line, at once: whoever reads it waits for it.
    private static func say(_ line: String) {
        try? FileHandle.standardOutput.write(contentsOf: Data((line + "\n").utf8))
    }

    private static func nextLine() async -> String? {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: readLine()) }
        }
    }
}
