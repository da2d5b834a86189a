extension Yamux {
    /// Takes what was received.
    /// - Throws: `Libp2pError` with `.protocolViolation` or `.limitExceeded`; a go-away that says so is in the output.
    public mutating func receive(_ bytes: ArraySlice<UInt8>) throws(Libp2pError) -> [Event] {
        var events: [Event] = []
        var rest = bytes
        do throws(Libp2pError) {
            while !rest.isEmpty {
                switch reading {
                case .header: try takeHeader(&rest, &events)
                case .body(let id, let remaining, let isFinal):
                    let part = rest.prefix(remaining)
                    rest = rest.dropFirst(part.count)
                    let left = remaining - part.count
                    reading = left == 0 ? .header : .body(stream: id, remaining: left, isFinal: isFinal)
                    deliver(part, on: id, &events)
                    if left == 0, isFinal { finishReceiving(id, &events) }
                }
            }
            guard output.count <= 2 * limits.outputBytes else {
                throw Libp2pError(.limitExceeded, "the peer asks for more answers than it reads")
            }
        } catch {
            goAway(1)
            throw error
        }
        return events
    }

    private mutating func takeHeader(
        _ rest: inout ArraySlice<UInt8>,
        _ events: inout [Event]
    ) throws(Libp2pError) {
        if partialHeader.isEmpty, rest.count >= YamuxHeader.byteCount {
            let header = try YamuxHeader(rest.prefix(YamuxHeader.byteCount))
            rest = rest.dropFirst(YamuxHeader.byteCount)
            return try take(header, &events)
        }
        let part = rest.prefix(YamuxHeader.byteCount - partialHeader.count)
        partialHeader.append(contentsOf: part)
        rest = rest.dropFirst(part.count)
        guard partialHeader.count == YamuxHeader.byteCount else { return }
        let header = try YamuxHeader(partialHeader)
        partialHeader.removeAll(keepingCapacity: true)
        try take(header, &events)
    }

    private mutating func take(_ header: YamuxHeader, _ events: inout [Event]) throws(Libp2pError) {
        switch header.kind {
        case .ping:
            if header.flags.contains(.syn) {
                YamuxHeader(.ping, .ack, length: header.length).append(to: &output)
            } else {
                events.append(.pong(header.length))
            }
        case .goAway:
            receivedGoAway = true
            events.append(.goneAway(header.length))
        case .data, .windowUpdate:
            if header.flags.contains(.syn) { try accept(header.stream, &events) }
            if header.flags.contains(.ack) { acknowledge(header.stream) }
            if header.kind == .data {
                try beginData(header, &events)
            } else {
                try addCredit(header, &events)
            }
        }
    }

    private mutating func accept(_ id: UInt32, _ events: inout [Event]) throws(Libp2pError) {
        guard (id % 2 == 1) != isDialer, streams[id] == nil else {
            throw Libp2pError(.protocolViolation, "the peer opens a stream that is not its to open, or open already")
        }
        guard inboundCount < limits.inboundStreams, !sentGoAway else {
            refusedCount += 1
            guard refusedCount <= limits.refusedStreams else {
                throw Libp2pError(.limitExceeded, "the peer opens one stream too many after the other")
            }
            YamuxHeader(.windowUpdate, .rst, stream: id).append(to: &output)
            return
        }
        refusedCount = 0
        inboundCount += 1
        streams[id] = Stream(isOurs: false, opening: [], isAcknowledged: true)
        YamuxHeader(.windowUpdate, .ack, stream: id).append(to: &output)
        events.append(.opened(id))
    }

    private mutating func acknowledge(_ id: UInt32) {
        guard let stream = streams[id], stream.isOurs, !stream.isAcknowledged else { return }
        streams[id]?.isAcknowledged = true
        unacknowledgedCount -= 1
    }

    private mutating func addCredit(_ header: YamuxHeader, _ events: inout [Event]) throws(Libp2pError) {
        let id = header.stream
        if var stream = streams[id] {
            let (credit, overflow) = stream.sendCredit.addingReportingOverflow(header.length)
            guard !overflow else {
                throw Libp2pError(.protocolViolation, "the peer's window on a stream is more than 32 bits hold")
            }
            stream.sendCredit = credit
            if stream.isStalled, credit > 0 {
                if output.count < limits.outputBytes {
                    stream.isStalled = false
                    events.append(.writable(id))
                } else {
                    stalledByOutput = true
                }
            }
            streams[id] = stream
        }
        close(header.flags, id, &events)
    }

    private mutating func beginData(_ header: YamuxHeader, _ events: inout [Event]) throws(Libp2pError) {
        let id = header.stream
        if var stream = streams[id] {
            guard !stream.receivedFIN else {
                throw Libp2pError(.protocolViolation, "the peer sends on a stream that it has finished")
            }
            guard header.length <= stream.receiveCredit else {
                throw Libp2pError(.protocolViolation, "the peer sends more on a stream than its window allows")
            }
            stream.receiveCredit -= header.length
            streams[id] = stream
        } else if header.length > Self.initialWindowBytes * 2 {
            // What was on its way when a stream was reset fits in its window.
            throw Libp2pError(.protocolViolation, "the peer sends a frame that no window allows")
        }
        guard header.length > 0 else { return close(header.flags, id, &events) }
        let isFinal = header.flags.contains(.fin)
        reading = .body(stream: id, remaining: Int(header.length), isFinal: isFinal)
        if header.flags.contains(.rst) { close(.rst, id, &events) }
    }

    private mutating func deliver(_ part: ArraySlice<UInt8>, on id: UInt32, _ events: inout [Event]) {
        guard streams[id] != nil else { return }
        guard unreadBytes + part.count <= limits.unreadBytes else {
            reset(id)
            events.append(.reset(id))
            return
        }
        unreadBytes += part.count
        streams[id]?.unread += part.count
        events.append(.data(id, part))
    }

    private mutating func close(_ flags: YamuxHeader.Flags, _ id: UInt32, _ events: inout [Event]) {
        if flags.contains(.rst) {
            guard streams[id] != nil else { return }
            remove(id)
            events.append(.reset(id))
        } else if flags.contains(.fin) {
            finishReceiving(id, &events)
        }
    }

    private mutating func finishReceiving(_ id: UInt32, _ events: inout [Event]) {
        guard var stream = streams[id], !stream.receivedFIN else { return }
        stream.receivedFIN = true
        streams[id] = stream
        events.append(.finished(id))
        removeIfDone(id)
    }

    mutating func removeIfDone(_ id: UInt32) {
        // What is unread still counts, until it is consumed.
        guard let stream = streams[id], stream.sentFIN, stream.receivedFIN, stream.unread == 0 else { return }
        remove(id)
    }

    mutating func remove(_ id: UInt32) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        unreadBytes -= stream.unread
        if !stream.isOurs { inboundCount -= 1 }
        if stream.isOurs, !stream.isAcknowledged { unacknowledgedCount -= 1 }
    }
}
