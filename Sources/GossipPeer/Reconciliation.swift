internal import Encodings
internal import Records

/// Negentropy told what to do by lines: `items TIMESTAMP:ID,…` adds to the set; `reconcile` begins and `reconcile HEX` goes on,
/// until it answers `reconciled have=… need=…`; `respond HEX` answers who began elsewhere, in one session until the set grows.
struct Reconciliation {
    private var items: [ReconciliationItem] = []
    private var initiator: Negentropy?
    private var responder: Negentropy?
    private var have: [RecordID] = []
    private var need: [RecordID] = []

    mutating func run(_ command: String, _ word: String?) throws -> String {
        switch (command, word) {
        case ("items", let list?): try add(list)
        case ("reconcile", nil): begin()
        case ("reconcile", let message?): try goOn(message)
        case ("respond", let message?): try respond(message)
        default: "error \(command) usage a word is missing"
        }
    }

    private mutating func add(_ list: String) throws -> String {
        for text in list.split(separator: ",") {
            let parts = text.split(separator: ":")
            guard parts.count == 2, let timestamp = UInt64(parts[0]),
                let id = RecordID(bytes: try Hex.decode(String(parts[1])))
            else { return "error items usage TIMESTAMP:ID,…" }
            items.append(ReconciliationItem(timestamp: timestamp, id: id))
        }
        (initiator, responder) = (nil, nil)
        return "items \(items.count)"
    }

    private mutating func begin() -> String {
        let engine = Negentropy(ReconciliationSet(items), isInitiator: true)
        (initiator, have, need) = (engine, [], [])
        return "negentropy \(Hex.encode(engine.start()))"
    }

    private mutating func goOn(_ message: String) throws -> String {
        guard let answer = try initiator?.receive(try Hex.decode(message)) else {
            collect()
            return "reconciled have=\(Self.text(have)) need=\(Self.text(need))"
        }
        collect()
        return "negentropy \(Hex.encode(answer))"
    }

    private mutating func collect() {
        guard let found = initiator?.takeDifferences() else { return }
        have += found.have
        need += found.need
    }

    private mutating func respond(_ message: String) throws -> String {
        if responder == nil { responder = Negentropy(ReconciliationSet(items), isInitiator: false) }
        return "negentropy \(Hex.encode(try responder?.receive(try Hex.decode(message)) ?? []))"
    }

    private static func text(_ ids: [RecordID]) -> String { ids.map(\.description).joined(separator: ",") }
}
