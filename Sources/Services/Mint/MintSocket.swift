internal import Cashu
public import WebServer

extension Mint {
    /// The WebSocket of NUT-17, for the server that mounts ``MintRoutes`` under `prefix`, such as `/mint`.
    ///
    /// It is announced in `/v1/info` where `MintConfiguration.subscriptions.areOn` says so.
    public func subscriptionRoute(under prefix: String) -> WebSocketRoute {
        let mint = self
        return WebSocketRoute(path: prefix + "/v1/ws", limits: configuration.subscriptions.socket) { peer in
            mint.openSubscriptions(peer)
            return Responder(mint: mint, peer: peer)
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
