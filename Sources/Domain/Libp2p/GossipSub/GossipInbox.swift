/// What a peer sends on its stream of GossipSub, cut into RPCs; knows since when one is half sent.
package struct GossipInbox: Sendable {
    private var reader = DelimitedReader(maximumBytes: GossipRPC.Bounds().bytes)
    private var heardAt: Int64 = 0

    /// When the first byte came of the RPC that is not whole yet; nil between two.
    package private(set) var halfSince: Int64?

    package init() {}

    /// Bytes of the RPC that is not whole yet.
    package var halfCount: Int { reader.pendingCount }

    /// Adds what was received; take out what is whole with ``next()`` before more is added.
    /// - Parameter now: milliseconds of any clock that does not go back.
    package mutating func append(_ bytes: ArraySlice<UInt8>, at now: Int64) {
        heardAt = now
        reader.append(bytes)
    }

    /// The next whole RPC, without its length; nil where it has not come yet.
    /// - Throws: `Libp2pError` with `.tooLarge` or `.malformed`.
    package mutating func next() throws(Libp2pError) -> ArraySlice<UInt8>? {
        if let body = try reader.next() {
            halfSince = nil
            return body
        }
        // What is left over began with the bytes that came last, unless it was begun before them.
        halfSince = reader.isAtBoundary ? nil : halfSince ?? heardAt
        return nil
    }

    /// Whether an RPC has taken longer than it may, however much of it came lately.
    package func isLate(at now: Int64, milliseconds: Int64) -> Bool {
        halfSince.map { now - $0 >= milliseconds } ?? false
    }
}
