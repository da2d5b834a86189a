internal import Logging
internal import ServiceLifecycle
internal import UnixSignals
internal import WebServer

/// Takes up a new certificate while the node runs: on SIGHUP, and within ten seconds after its files changed. Connections
/// that are open keep the one they began with; a file that can't be used leaves the old one in its place.
struct CertificateWatch: Service {
    private static let pauseSeconds: Int64 = 10

    private let certificate: ServerCertificate
    private let logger: Logger

    init(_ certificate: ServerCertificate, logger: Logger) {
        self.certificate = certificate
        self.logger = logger
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask {
                    for await _ in await UnixSignalsSequence(trapping: .sighup) { reload(always: true) }
                }
                while !Task.isCancelled {
                    try? await Task.sleep(for: .seconds(Self.pauseSeconds))
                    reload(always: false)
                }
            }
        }
    }

    private func reload(always: Bool) {
        do {
            guard try certificate.reload(always: always) else { return }
            logger.notice("the TLS certificate was read anew")
        } catch {
            logger.error(
                "the new TLS certificate cannot be used; the old one stays",
                metadata: ["error": "\(error)"]
            )
        }
    }
}
