internal import CanonicalJSON
internal import Encodings
internal import Foundation
public import Logging
internal import Storage

/// One JSON object a line on standard error: `time`, `level`, `label`, `message`, and the metadata by its keys.
public struct JSONLogHandler: LogHandler {
    public var logLevel: Logger.Level = .info
    public var metadata: Logger.Metadata = [:]
    private let label: String

    public init(label: String) {
        self.label = label
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var line: JSONObject = [:]
        line["time"] = .string(WallClock.system.now().rfc3339)
        line["level"] = .string(event.level.rawValue)
        line["label"] = .string(label)
        line["message"] = .string("\(event.message)")
        for (key, value) in metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 }) {
            line[key] = .string("\(value)")
        }
        // A node goes on where nobody takes its log any more.
        try? FileHandle.standardError.write(
            contentsOf: Data(JSONValue.object(line).serialized() + [UInt8(ascii: "\n")])
        )
    }
}
