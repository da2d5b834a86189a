import ArgumentParser
import CanonicalJSON
import Foundation

/// How other nodes are told of a service: what `service add` says besides.
struct ListingArguments: ParsableArguments {
    @Flag(help: "Tell no other node of it.") var unlisted = false
    @Option(help: "One line that it is shown by.") var title: String?
    @Option(
        help: ArgumentHelp(
            "Words that it is found by: a-z, 0-9 and -. With commas between, or repeated.",
            valueName: "tags"
        )
    )
    var tag: [String] = []
    @Option(
        help: ArgumentHelp(
            "A JSON file with the JSON Schemas of what a call is given and answers: {\"input\": …, \"output\": …}.",
            valueName: "file"
        )
    )
    var schema: String?
    @Option(
        help: ArgumentHelp(
            "Sell it by escrow too: key, the answer's key against the ecash; arbiter, the money is locked first and an arbiter decides a dispute. May be repeated.",
            valueName: "mode"
        )
    )
    var escrow: [String] = []
    @Option(
        help: ArgumentHelp(
            "Who decides in the mode arbiter: the URL of its node. May be repeated; the buyer takes one.",
            valueName: "url"
        )
    )
    var arbiter: [String] = []

    /// - Parameter arbiters: what the nodes of ``arbiter`` tell of themselves.
    func write(to service: inout JSONObject, arbiters: [JSONValue]) throws {
        var listing = JSONObject()
        if unlisted { listing["listed"] = false }
        listing["title"] = title.map { .string($0) }
        let tags = tag.flatMap { $0.split(separator: ",") }.map { $0.trimmingCharacters(in: .whitespaces).lowercased() }
        if !tags.isEmpty { listing["tags"] = JSONValue(tags) }
        if !escrow.isEmpty { listing["escrow"] = JSONValue(escrow) }
        if !arbiters.isEmpty { listing["arbiters"] = .array(arbiters) }
        if let schema {
            guard let data = FileManager.default.contents(atPath: schema), data.count <= 65_536,
                let schemas = (try? JSONValue.parse([UInt8](data)))?.objectValue,
                schemas.keys.allSatisfy(["input", "output"].contains)
            else { throw ValidationError("\(schema) must be a JSON object with input, output or both, up to 64 KiB.") }
            for (name, value) in schemas { listing[name] = value }
        }
        if !listing.isEmpty { service["listing"] = .object(listing) }
    }
}
