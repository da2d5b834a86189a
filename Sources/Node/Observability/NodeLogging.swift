internal import Logging

/// Sets up where log lines go: standard error, as text or as JSON.
public enum NodeLogging {
    /// Call once in a process, before the first logger is made.
    /// - Throws: `ConfigurationError` for a level that does not exist.
    public static func start(_ configuration: NodeConfiguration) throws(ConfigurationError) {
        guard let level = Logger.Level(rawValue: configuration.logLevel) else {
            let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            throw ConfigurationError("log.level must be one of \(levels), not \(configuration.logLevel)")
        }
        let format = configuration.logFormat
        LoggingSystem.bootstrap { label in
            var handler: any LogHandler =
                format == .json ? JSONLogHandler(label: label) : StreamLogHandler.standardError(label: label)
            handler.logLevel = level
            return handler
        }
    }
}
