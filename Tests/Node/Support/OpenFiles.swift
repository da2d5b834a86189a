import Foundation

/// Foundation's `Process.run` lists the files that are open, and reads past the list where it fills its 32 KB: some 1,360
/// entries, which tests with many sockets at once can have. A process is started once there are fewer.
enum OpenFiles {
    private static let limit = 1200

    /// Waits for fewer open files, for a minute at most.
    static func settle() async throws {
        for _ in 0..<600 where count() > limit { try await Task.sleep(for: .milliseconds(100)) }
    }

    /// 0 where the system has no such list.
    private static func count() -> Int {
        guard let folder = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(folder) }
        var entries = 0
        while readdir(folder) != nil { entries += 1 }
        return entries
    }
}
