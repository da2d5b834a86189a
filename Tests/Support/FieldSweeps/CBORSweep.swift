public import Encodings

/// Changes a CBOR item in every place, one at a time; as ``JSONSweep``.
public enum CBORSweep {
    public static func run(
        _ item: CBOR,
        otherDID: String,
        _ judge: (CBOR) throws -> String
    ) throws -> [(place: String, outcome: FieldTable.Outcome)] {
        var found: [(place: String, outcome: FieldTable.Outcome)] = []
        try walk(item, "", otherDID) { place, changed, removed in
            found.append((place, FieldTable.Outcome(changed: try judge(changed), removed: try judge(removed))))
        }
        return found
    }

    private static func walk(
        _ item: CBOR,
        _ place: String,
        _ otherDID: String,
        _ visit: (_ place: String, _ changed: CBOR, _ removed: CBOR) throws -> Void
    ) throws {
        switch item {
        case .map(let pairs):
            for (index, pair) in pairs.enumerated() {
                func with(_ new: CBOR?) -> CBOR {
                    var copy = pairs
                    if let new { copy[index].value = new } else { copy.remove(at: index) }
                    return .map(copy)
                }
                let name = pair.key.textValue ?? "?"
                let inner = place.isEmpty ? name : "\(place).\(name)"
                try visit(inner, with(another(pair.value, otherDID)), with(nil))
                try walk(pair.value, inner, otherDID) { try visit($0, with($1), with($2)) }
            }
        case .array(let items):
            for (index, item) in items.enumerated() {
                func with(_ new: CBOR?) -> CBOR {
                    var copy = items
                    if let new { copy[index] = new } else { copy.remove(at: index) }
                    return .array(copy)
                }
                let inner = "\(place)[\(index)]"
                try visit(inner, with(another(item, otherDID)), with(nil))
                try walk(item, inner, otherDID) { try visit($0, with($1), with($2)) }
            }
        default: break
        }
    }

    private static func another(_ item: CBOR, _ otherDID: String) -> CBOR {
        switch item {
        case .unsigned(let number): .unsigned(number + 1)
        case .bytes(let bytes): .bytes(flipped(bytes))
        case .text(let text): .text(Flip.text(text, otherDID: otherDID))
        case .bool(let flag): .bool(!flag)
        case .tagged(let tag, .bytes(let bytes)): .tagged(tag, .bytes(flipped(bytes)))
        case .array(let items): .array(items + [items.first ?? .unsigned(1)])
        case .map(let pairs): .map(pairs + [CBORPair("more", .unsigned(1))])
        default: .unsigned(1)
        }
    }

    private static func flipped(_ bytes: [UInt8]) -> [UInt8] {
        var copy = bytes
        if let last = copy.indices.last { copy[last] ^= 1 } else { copy = [1] }
        return copy
    }
}
