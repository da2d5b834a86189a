import Encodings
import Foundation

/// Shows text as a QR code where a person can point a camera at it.
enum QRText {

    /// Shows `text` on standard error, so that standard output stays the text alone.
    /// - Parameters:
    ///   - isWanted: asked for, also where no terminal is.
    ///   - isJSON: the command prints JSON: nothing but that, unless asked for.
    static func show(_ text: String, isWanted: Bool, isJSON: Bool) {
        guard isWanted || !isJSON && isatty(STDOUT_FILENO) == 1 && isatty(STDERR_FILENO) == 1 else { return }
        // In capitals a bech32 text is the same, and takes fewer modules (BIP-173).
        let isBech32 = ["creqb1", "lnbc", "lntb", "lnbcrt"].contains { text.lowercased().hasPrefix($0) }
        guard let code = try? QRCode(isBech32 && !text.contains(where: \.isUppercase) ? text.uppercased() : text) else {
            if isWanted {
                Output.note("This is too long for a QR code; one of several pictures (NUT-16) is not made here.")
            }
            return
        }
        let columns = width()
        guard isWanted || code.size + 8 <= columns else {
            Output.note(
                "(A QR code of it takes \(code.size + 8) columns, this terminal has \(columns): add --qr to see it.)"
            )
            return
        }
        // Black on white by the terminal's own colours, since readers want dark modules on a light ground.
        for line in code.halfBlocks() { Output.note("\u{1B}[30;107m\(line)\u{1B}[0m") }
    }

    private static func width() -> Int {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}
