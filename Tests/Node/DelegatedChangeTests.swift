import CanonicalJSON
import Foundation
import NIOHTTP1
import TestSupport
import Testing

/// A call of which a part comes back, made on a delegation: its debit ends at what was paid, whenever the change comes.
@Suite("Change of delegated calls", .serialized)
struct DelegatedChangeTests {
    @Test("[DLG-12] of a call by measure the debit is the maximum first, and what it cost once the change is in")
    func metered() async throws {
        try await World.with { world in
            #expect(try await world.fund(200).status == 200)
            let buyer = world.buyer
            let root = try await buyer.call(.GET, "/api/node").json.string("did")
            try await world.sell(
                "--accept",
                "cashu",
                "--trust-root",
                root,
                named: "m",
                price: "GET /now/*=1sat+1sat/10000B,max=31sat"
            )
            let made = try await buyer.command("agent", "register", "planner", "--capability", "pay", "--json")
            #expect(made.status == 0, "\(made)")
            let given = try await buyer.command("delegate", "--to", "planner", "--budget", "64sat", "--json")
            let cid = try given.json.string("cid")
            // 31 are debited for each call, and 2 are what it costs: the third fits once change of the first two is counted.
            for number in 1...3 {
                let paid = try await buyer.command(
                    "pay",
                    "\(world.seller.url)/s/m/now/\(number)",
                    "--max",
                    "40sat",
                    "--delegation",
                    cid,
                    "--json"
                )
                #expect(paid.status == 0 && paid.json["status"]?.int64Value == 200, "\(paid)")
                var last: String?
                for _ in 0..<200 {
                    last = try await buyer.spent(of: cid)
                    if last == String(2 * number) { break }
                    try await Task.sleep(for: .milliseconds(250))
                }
                #expect(last == String(2 * number))
            }
            #expect(try await buyer.call(.POST, "/api/audit", [:]).json["findings"]?.arrayValue?.count == 0)
        }
    }
}
