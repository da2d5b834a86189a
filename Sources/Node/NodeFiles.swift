internal import Foundation
internal import Storage

/// The names of what lies in a data directory.
public enum NodeFiles {
    public static let vault = "vault.json"
    public static let database = "node.sqlite"
    /// What is known of the gossip network, apart from the money; it can be built anew.
    public static let cache = "cache.sqlite"
    public static let passphrase = "passphrase"
    public static let operatorToken = "operator-token"
    public static let socket = "node.sock"
    /// Says that the folder is a vault's: no node is made or run in it.
    public static let vaultMarker = "vault-process"

    /// The longest path that a Unix socket can have here.
    public static let maximumSocketPathBytes = 100

    /// Whether a node was made in the folder.
    public static func exists(in directory: String) -> Bool {
        FileManager.default.fileExists(atPath: directory + "/" + vault)
    }

    /// Whether the folder is that of a `mintmark vault`.
    public static func isVault(in directory: String) -> Bool {
        FileManager.default.fileExists(atPath: directory + "/" + vaultMarker)
    }

    public static func socketPath(in directory: String) -> String { directory + "/" + socket }

    /// Whether a node is at work in the folder and listens on its socket.
    public static func isRunning(in directory: String) -> Bool {
        DataDirectory.isHeld(path: directory) && FileManager.default.fileExists(atPath: socketPath(in: directory))
    }
}
