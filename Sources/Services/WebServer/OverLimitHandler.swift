internal import NIOCore
internal import NIOHTTP1

/// All there is of a connection over the limit: one request is answered, and the connection ends. No task waits for it, and
/// Hummingbird never hears of it, so that turning away costs little where there is the least of everything.
final class OverLimitHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart

    private let door: HTTPDoor
    private var isAnswered = false
    private var end: Scheduled<Void>?

    init(_ door: HTTPDoor) {
        self.door = door
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        end = context.eventLoop.scheduleTask(in: .seconds(door.overLimitSeconds)) { bound.value.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end?.cancel()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isAnswered, case .head(let head) = unwrapInboundIn(data) else { return }
        isAnswered = true
        let answer = door.quickAnswer(to: head) ?? DoorAnswer(.tooManyConnections)
        answer.send(on: context, closes: true)
    }
}
