import ArgumentParser
import CanonicalJSON
import Foundation

/// `2sat` for every path, or `METHOD[,METHOD] /path/*=2sat`, or `/path/*=2sat` for every method.
///
/// A price by measure has parts with `+` between, `2sat` or `2sat/MEASURE`, then options with commas: `max=100sat`, `free=10`,
/// tiers `1sat/MEASURE@100,tiers=day`. A measure is `B`, `reqB`, `s`, `call` or the name of a field, with a number before it
/// for how many of it one amount is for: `1sat/1000B`.
struct PriceArgument: ExpressibleByArgument {
    let json: JSONValue

    init?(argument: String) {
        var object: JSONObject = [:]
        var price = Substring(argument)
        if argument.hasPrefix("/") || argument.contains(" /") {
            guard let equals = argument.firstIndex(of: "=") else { return nil }
            price = argument[argument.index(after: equals)...]
            let target = argument[..<equals].split(separator: " ", omittingEmptySubsequences: true)
            guard let path = target.last, path.hasPrefix("/"), target.count <= 2 else { return nil }
            object["path"] = .string(String(path))
            if target.count == 2 {
                object["methods"] = .array(target[0].split(separator: ",").map { .string($0.uppercased()) })
            }
        }
        guard Self.read(price, into: &object) else { return nil }
        json = .object(object)
    }

    /// An amount and its unit: `2sat`, or `2` for sat.
    static func money(_ text: some StringProtocol) -> (amount: UInt64, unit: String)? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count).trimmingCharacters(in: .whitespaces).lowercased()
        guard let amount = UInt64(digits), unit.allSatisfy({ $0.isASCII && $0.isLetter }) else { return nil }
        return (amount, unit.isEmpty ? "sat" : unit)
    }

    private struct Meter {
        var name: String
        var json: JSONObject
        var tiers: [(from: UInt64, amount: UInt64)]
    }

    private static func read(_ text: Substring, into object: inout JSONObject) -> Bool {
        var unit: String?
        var fixed: UInt64?
        var meters: [Meter] = []
        var period: String?
        /// Every amount of a rule is in one unit.
        func amount(_ text: some StringProtocol) -> UInt64? {
            guard let money = money(text), unit == nil || unit == money.unit else { return nil }
            unit = money.unit
            return money.amount
        }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            let piece = part.trimmingCharacters(in: .whitespaces)
            if let equals = piece.firstIndex(of: "=") {
                let value = piece[piece.index(after: equals)...]
                switch piece[..<equals] {
                case "max":
                    guard let most = amount(value) else { return false }
                    object["maximum"] = .string(String(most))
                case "free":
                    guard let calls = UInt64(value) else { return false }
                    object["freePerDay"] = .string(String(calls))
                case "tiers": period = String(value)
                default: return false
                }
                continue
            }
            for term in piece.split(separator: "+", omittingEmptySubsequences: false) {
                let halves = term.trimmingCharacters(in: .whitespaces).split(separator: "/", maxSplits: 1)
                guard let first = halves.first, let cost = amount(first) else { return false }
                guard halves.count == 2 else {
                    guard fixed == nil, index == 0 else { return false }
                    fixed = cost
                    continue
                }
                guard let meter = meter(halves[1]) else { return false }
                if let known = meters.firstIndex(where: { $0.name == meter.name }) {
                    meters[known].tiers.append((meter.from, cost))
                } else {
                    meters.append(Meter(name: meter.name, json: meter.json, tiers: [(meter.from, cost)]))
                }
            }
        }
        guard fixed != nil || !meters.isEmpty else { return false }
        object["amount"] = .string(String(fixed ?? 0))
        object["unit"] = .string(unit ?? "sat")
        if !meters.isEmpty { object["meters"] = .array(meters.map { .object(json($0, period: period)) }) }
        return true
    }

    private static func json(_ meter: Meter, period: String?) -> JSONObject {
        var object = meter.json
        if meter.tiers.count == 1, meter.tiers[0].from == 0 {
            object["amount"] = .string(String(meter.tiers[0].amount))
        } else {
            object["tiers"] = .array(
                meter.tiers.map { ["from": .string(String($0.from)), "amount": .string(String($0.amount))] }
            )
            object["period"] = .string(period ?? "day")
        }
        return object
    }

    /// `1000B`, `x-tokens`, `call@100`.
    private static func meter(_ text: Substring) -> (name: String, from: UInt64, json: JSONObject)? {
        let halves = text.split(separator: "@", maxSplits: 1)
        guard let first = halves.first else { return nil }
        guard let from = halves.count == 2 ? UInt64(halves[1]) : 0 else { return nil }
        let digits = first.prefix { $0.isASCII && $0.isNumber }
        let name = String(first.dropFirst(digits.count))
        var object: JSONObject
        switch name {
        case "B": object = ["measure": "responseBytes"]
        case "reqB": object = ["measure": "requestBytes"]
        case "s": object = ["measure": "seconds"]
        case "call": object = ["measure": "calls"]
        case "": return nil
        default: object = ["measure": "reported", "name": .string(name.lowercased())]
        }
        if !digits.isEmpty { object["per"] = .string(String(digits)) }
        return (name, from, object)
    }

    /// A rule's price as it is written in an argument.
    static func text(_ rule: JSONValue) -> String {
        let unit = rule.shown("unit")
        let names = ["responseBytes": "B", "requestBytes": "reqB", "seconds": "s", "calls": "call"]
        var terms: [String] = []
        var options: [String] = []
        if rule["meters"] == nil || rule.shown("amount") != "0" { terms.append(rule.shown("amount") + unit) }
        for meter in rule["meters"]?.arrayValue ?? [] {
            let measure = meter.shown("measure")
            let name = (meter["per"] == nil ? "" : meter.shown("per")) + (names[measure] ?? meter.shown("name"))
            guard let tiers = meter["tiers"]?.arrayValue else {
                terms.append("\(meter.shown("amount"))\(unit)/\(name)")
                continue
            }
            for tier in tiers {
                let from = tier.shown("from")
                terms.append("\(tier.shown("amount"))\(unit)/\(name)\(from == "0" ? "" : "@\(from)")")
            }
            options.append("tiers=\(meter.shown("period"))")
        }
        if rule["maximum"] != nil { options.append("max=\(rule.shown("maximum"))\(unit)") }
        if rule["freePerDay"] != nil { options.append("free=\(rule.shown("freePerDay"))") }
        return ([terms.joined(separator: "+")] + options).joined(separator: ",")
    }
}
