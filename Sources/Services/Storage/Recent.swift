/// A table of the keys used last, in two generations of so many each: the older goes when the younger is full.
package struct Recent<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let size: Int
    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]

    package init(_ size: Int) {
        self.size = size
    }

    package subscript(key: Key) -> Value? {
        mutating get {
            if let value = young[key] { return value }
            guard let value = old[key] else { return nil }
            self[key] = value
            return value
        }
        set {
            guard let newValue else {
                young[key] = nil
                old[key] = nil
                return
            }
            if young[key] == nil, young.count >= size {
                old = young
                young = [:]
            }
            young[key] = newValue
        }
    }

    package mutating func removeAll() {
        young = [:]
        old = [:]
    }
}
