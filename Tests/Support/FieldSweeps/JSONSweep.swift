public import CanonicalJSON

/// Changes a JSON document in every place, one at a time.
public enum JSONSweep {
    /// Every member and element, however deep, with what comes of it.
    ///
    /// Texts and numbers get another value of the same form, objects a member more, lists their first element once more.
    /// - Parameters:
    ///   - otherDID: a did:key that stands in for each that is there.
    ///   - judge: what comes of a changed document, in one word.
    public static func run(
        _ document: JSONValue,
        otherDID: String,
        _ judge: (JSONValue) throws -> String
    ) throws -> [(place: String, outcome: FieldTable.Outcome)] {
        var found: [(place: String, outcome: FieldTable.Outcome)] = []
        try walk(document, "", otherDID) { place, changed, removed in
            found.append((place, FieldTable.Outcome(changed: try judge(changed), removed: try judge(removed))))
        }
        return found
    }

    private static func walk(
        _ value: JSONValue,
        _ place: String,
        _ otherDID: String,
        _ visit: (_ place: String, _ changed: JSONValue, _ removed: JSONValue) throws -> Void
    ) throws {
        switch value {
        case .object(let object):
            for (name, member) in object {
                func with(_ new: JSONValue?) -> JSONValue {
                    var copy = object
                    copy[name] = new
                    return .object(copy)
                }
                let inner = place.isEmpty ? name : "\(place).\(name)"
                try visit(inner, with(another(member, otherDID)), with(nil))
                try walk(member, inner, otherDID) { try visit($0, with($1), with($2)) }
            }
        case .array(let items):
            for (index, item) in items.enumerated() {
                func with(_ new: JSONValue?) -> JSONValue {
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

    private static func another(_ value: JSONValue, _ otherDID: String) -> JSONValue {
        switch value {
        case .string(let text): return .string(Flip.text(text, otherDID: otherDID))
        case .integer(let number): return .integer(number + 1)
        case .bool(let flag): return .bool(!flag)
        case .array(let items): return .array(items + [items.first ?? 1])
        case .object(var object):
            object["more"] = 1
            return .object(object)
        default: return 1
        }
    }
}

/// Another value of the same form.
public enum Flip {
    /// One letter or digit changed, in the middle of what is long (keys, digests, signatures), else the last: instants,
    /// UUIDs, base58 and base64 stay what they are. For a did:key, and for the name of its key, those of another.
    public static func text(_ text: String, otherDID: String) -> String {
        if text.hasPrefix("did:key:") {
            return text.contains("#") ? "\(otherDID)#\(otherDID.dropFirst(8))" : otherDID
        }
        var characters = Array(text)
        let places = characters.indices.filter { place in
            let character = characters[place]
            return character.isASCII && (character.isLetter || character.isNumber)
        }
        guard var last = places.last else { return text + "x" }
        // Of an instant the last digit, not the `Z`.
        if characters[last] == "Z", text.first?.isNumber == true { last = places.dropLast().last ?? last }
        let place = text.utf8.count > 40 && !text.contains("://") ? places[places.count / 2 + 3] : last
        characters[place] = another(characters[place])
        return String(characters)
    }

    private static func another(_ character: Character) -> Character {
        switch character {
        case "0"..."9": character == "1" ? "2" : "1"
        case "A"..."Z": character == "A" ? "B" : "A"
        default: character == "a" ? "b" : "a"
        }
    }
}
