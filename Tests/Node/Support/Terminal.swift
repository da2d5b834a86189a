import CTerminal
import Foundation
import Synchronization

/// A terminal that a command asks on, and that a person types at.
final class Terminal: Sendable {
    struct Missing: Error, CustomStringConvertible {
        let description: String
    }

    private let keyboard: Int32
    private let screen: Int32
    private let seen = Mutex<[UInt8]>([])

    init() throws {
        var screen: Int32 = -1
        keyboard = terminal_open(&screen)
        guard keyboard >= 0 else { throw Missing(description: "there are no terminals here: \(errno)") }
        self.screen = screen
        _ = fcntl(keyboard, F_SETFL, O_NONBLOCK)
    }

    /// What a command gets as its standard input, and what it asks on.
    var device: FileHandle { FileHandle(fileDescriptor: screen, closeOnDealloc: false) }

    /// Whether what is typed is shown.
    var isEchoing: Bool {
        var settings = termios()
        return tcgetattr(screen, &settings) == 0 && settings.c_lflag & tcflag_t(ECHO) != 0
    }

    /// Types a line once the command asks for it and hides what is typed: what came before, it throws away.
    /// - Parameter prompt: what it shows first, where it asks here.
    func type(_ line: String, after prompt: String = "") async throws {
        for _ in 0..<4000 {
            // In this order: hidden after it was asked, not still from the question before.
            if prompt.isEmpty || shown().contains(prompt), !isEchoing {
                let bytes = Array((line + "\n").utf8)
                guard write(keyboard, bytes, bytes.count) == bytes.count else {
                    throw Missing(description: "nothing can be typed: \(errno)")
                }
                return
            }
            try await Task.sleep(for: .milliseconds(5))
        }
        throw Missing(description: "nobody asked for a passphrase: \(shown())")
    }

    /// What is on the screen: what the command wrote there, and what of the typing the terminal has shown.
    func shown() -> String {
        seen.withLock { seen in
            var bytes = [UInt8](repeating: 0, count: 4096)
            while case let count = read(keyboard, &bytes, bytes.count), count > 0 { seen += bytes.prefix(count) }
            return String(decoding: seen, as: UTF8.self)
        }
    }

    deinit {
        close(screen)
        close(keyboard)
    }
}
