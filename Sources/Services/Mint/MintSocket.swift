internal import CanonicalJSON
internal import Cashu
public import WebServer

extension Mint {
    /// The WebSocket of NUT-17, for the server that mounts ``MintRoutes`` under `prefix`, such as `/mint`.
    ///
    /// It is announced in `/v1/info` where `MintConfiguration.subscriptions.areOn` says so.
    /// - Parameter isOpen: where it says false, nobody is let in; asked at each new connection.
    public func subscriptionRoute(
        under prefix: String,
        isOpen: @escaping @Sendable () -> Bool = { true }
    ) -> WebSocketRoute {
        let mint = self
        return WebSocketRoute(
            path: prefix + "/v1/ws",
            limits: configuration.subscriptions.socket,
            check: { try await mint.admitSocket($0, isOpen: isOpen()) },
            respond: { peer in
                mint.openSubscriptions(peer)
                return Responder(mint: mint, peer: peer)
            }
        )
    }

    private func admitSocket(_ request: WebSocketRequest, isOpen: Bool) async throws {
        let tokens = AuthTokens(clear: request.header("Clear-auth"), blind: request.header("Blind-auth"))
        do {
            guard isOpen else { throw MintFailure.closed }
            try await admitted("GET", "/v1/ws", tokens) { _ in }
        } catch {
            let failure = MintFailure(sorting: error)
            metrics.refused(failure)
            throw WebSocketRefusal(
                status: failure.status,
                body: failure.error.json.serialized(),
                retryAfterSeconds: failure.retryAfterSeconds
            )
        }
    }

    private struct Responder: WebSocketResponder {
        let mint: Mint
        let peer: any WebSocketConnection

        func receive(_ text: [UInt8]) async {
            await mint.receive(text, from: peer)
        }

        func closed() {
            mint.closeSubscriptions(peer)
        }
    }
}
