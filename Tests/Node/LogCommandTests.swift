import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import NIOCore
import NIOHTTP1
import Receipts
import SignedDocuments
import TestSupport
import Testing
import TransparencyLog

/// The transparency log of a node that runs, as an operator and a stranger see it.
@Suite("The log, by commands", .serialized)
struct LogCommandTests {
    @Test(
        "[LOG-1] [LOG-3] [LOG-4] [LOG-6] A paid call, a passport and its revocation are proven; after a kill the log goes on"
    )
    func proven() async throws {
        try await World.with { world in
            let seller = world.seller
            let place = world.folder.path
            let added = try await seller.command(
                "service",
                "add",
                "w",
                "--upstream",
                "http://127.0.0.1:\(world.upstreamPort)",
                "--price",
                "2sat",
                "--json"
            )
            #expect(added.status == 0, "\(added)")
            let funded = try await world.buyer.command("wallet", "fund", "100sat", "--mint", seller.url + "/mint")
            #expect(funded.status == 0, "\(funded)")
            let paid = try await world.buyer.pay(seller.url + "/s/w/now/1", key: "log-1")
            let receiptID = try #require(paid.receiptID, "\(paid)")
            let shown = try await seller.command("receipt", "show", receiptID, "--json")
            try Data(shown.json.serialized()).write(to: URL(filePath: place + "/receipt.json"))

            let log = try await seller.command("log", "show", "--json")
            let key = try log.json.string("key")
            let proof = try await seller.command("log", "proof", receiptID)
            #expect(proof.status == 0, "\(proof)")
            try Data(proof.output.utf8).write(to: URL(filePath: place + "/receipt.tlog-proof"))
            func verify(_ document: String) async throws -> Program.Outcome {
                try await Program.run([
                    "log", "verify", place + "/receipt.tlog-proof", "--document", document, "--key", key, "--json",
                ])
            }
            #expect(try await verify(place + "/receipt.json").status == 0)
            // [RCPT-10]: the entry is the one that the receipt promised.
            let promise = try #require(InclusionPromise(document: shown.json))
            #expect(promise.log == (try log.json.string("origin")))
            #expect(try LogProof(proof.output).extra == promise.salt)

            let agent = try await seller.command("agent", "register", "planner", "--json")
            let passport = try agent.json.object("passport").string("id")
            _ = try await seller.command("passport", "revoke", passport, "--reason", "keyCompromise", "--yes", "--json")
            let entries = try await seller.command("log", "proof", passport, "--json").json.array("entries")
            #expect(entries.map { $0["kind"]?.stringValue } == ["passport", "status"])
            #expect(entries.last?["document"]?["state"]?.stringValue == "revoked")
            let passportFile = try await seller.command("passport", "show", passport, "--json")
            try Data(passportFile.json.serialized()).write(to: URL(filePath: place + "/passport.json"))
            let wrong = try await verify(place + "/passport.json")
            #expect(wrong.status == 2 && wrong.json["code"]?.stringValue == "not-included", "\(wrong)")

            func readAll() async throws -> Program.Outcome {
                try await Program.run([
                    "log", "verify", seller.url + "/log", "--key", key, "--checkpoint", place + "/seen.txt", "--json",
                ])
            }
            let whole = try await readAll()
            #expect(whole.status == 0 && whole.json["size"]?.int64Value ?? 0 >= 3, "\(whole)")
            await seller.kill()
            try await seller.start()
            _ = try await seller.command("agent", "register", "second", "--json")
            _ = try await seller.command("log", "proof", passport, "--json")
            let again = try await readAll()
            #expect(again.status == 0, "\(again)")
            #expect(again.json["beginsWith"]?.int64Value == whole.json["size"]?.int64Value)

            // A checkpoint of the same size and another root would be a fork; a larger one says that the log was rewound.
            let seen = try String(contentsOfFile: place + "/seen.txt", encoding: .utf8)
            try Data(seen.replacing("\n\n", with: "x\n\n").utf8).write(to: URL(filePath: place + "/seen.txt"))
            #expect(try await readAll().status == 2)
            for path in ["tile/0/000.p/255", "tile/9/000", "tile/0/000/", "proof/none"] {
                #expect(try await world.get(seller.url + "/log/" + path).status == 404, "\(path)")
            }
        }
    }

    @Test(
        "[LOG-1] [LOG-11] Every form of a passport, and a credential, is logged and promised; the promise is held to it"
    )
    func promised() async throws {
        try await World.with { world in
            let (seller, place) = (world.seller, world.folder.path)
            let agent = try await seller.command("agent", "register", "planner", "--json")
            let passport = try agent.json.object("passport").string("id")
            let key = try await seller.command("log", "show", "--json").json.string("key")
            var files: [String] = []
            for form in ["eddsa-jcs-2022", "eddsa-rdfc-2022", "ecdsa-jcs-2019", "vc+jwt", "dc+sd-jwt"] {
                let shown = try await seller.command("passport", "show", passport, "--form", form)
                let file = place + "/\(files.count).passport"
                try Data(shown.output.utf8).write(to: URL(filePath: file))
                files.append(file)
            }
            let token = try String(contentsOfFile: seller.directory + "/operator-token", encoding: .utf8)
                .trimmingCharacters(in: .whitespacesAndNewlines)
            var request = HTTPClientRequest(url: seller.url + "/credentials/issue")
            request.method = .POST
            request.headers.add(name: "content-type", value: "application/json")
            request.headers.add(name: "authorization", value: "Bearer \(token)")
            let credential: JSONValue = [
                "credential": [
                    "@context": ["https://www.w3.org/ns/credentials/v2"], "type": ["VerifiableCredential"],
                    "credentialSubject": ["id": "did:example:subject"],
                ]
            ]
            request.body = .bytes(credential.serialized())
            let answer = try await world.http.execute(request, timeout: .seconds(30))
            #expect(answer.status == .created)
            files.append(place + "/credential.json")
            let issued = [UInt8](buffer: try await answer.body.collect(upTo: 65_536))
            try Data(issued).write(to: URL(filePath: files[5]))

            for (index, file) in files.enumerated() {
                let promise = try await seller.command("log", "promise", file)
                #expect(promise.status == 0, "\(file): \(promise)")
                try Data(promise.output.utf8).write(to: URL(filePath: file + ".promise"))
                let proof = try await seller.command("log", "proof", file)
                #expect(proof.status == 0, "\(file): \(proof)")
                try Data(proof.output.utf8).write(to: URL(filePath: file + ".proof"))
                let proven = try await Program.run([
                    "log", "verify", file + ".proof", "--document", file, "--key", key, "--json",
                ])
                #expect(proven.status == 0, "\(file): \(proven)")
                let kept = try await Program.run([
                    "log", "verify", seller.url + "/log", "--key", key, "--document", file, "--promise",
                    file + ".promise", "--json",
                ])
                #expect(kept.status == 0 && kept.json["index"] != nil, "\(file): \(kept)")
                // Another document's promise, and one that was changed.
                let other = files[(index + 1) % files.count]
                let wrong = try await Program.run([
                    "log", "verify", seller.url + "/log", "--document", other, "--promise", file + ".promise",
                    "--json",
                ])
                #expect(wrong.status == 2 && wrong.json["code"]?.stringValue == "mismatch", "\(file): \(wrong)")
                let text = promise.output.replacing("LogPromise", with: "LogPromise\", \"X")
                try Data(text.utf8).write(to: URL(filePath: file + ".promise"))
                let changed = try await Program.run([
                    "log", "verify", seller.url + "/log", "--document", file, "--promise", file + ".promise", "--json",
                ])
                #expect(changed.status == 2 && changed.json["code"]?.stringValue == "malformed", "\(changed)")
            }
            // Another node's promise of the same document is not held against this log.
            let stranger = try await world.buyer.command("log", "show", "--json").json.string("origin")
            let foreign = try LogPromise.issue(
                kind: "passport",
                reference: "x",
                entry: SaltedEntry(
                    salt: [UInt8](repeating: 7, count: 16),
                    document: JSONValue.parse(Data(contentsOf: URL(filePath: files[0])).map { $0 }).canonicalized()
                ).entry,
                promise: InclusionPromise(
                    log: stranger,
                    salt: [UInt8](repeating: 7, count: 16),
                    by: Timestamp(secondsSince1970: 1)
                ),
                at: Timestamp(secondsSince1970: 1_800_000_000),
                by: DocumentSigner(Ed25519.PrivateKey())
            )
            try Data(foreign.document.serialized()).write(to: URL(filePath: place + "/foreign.promise"))
            let accused = try await Program.run([
                "log", "verify", seller.url + "/log", "--key", key, "--document", files[0], "--promise",
                place + "/foreign.promise", "--json",
            ])
            #expect(accused.status == 2 && accused.json["code"]?.stringValue == "wrong-origin", "\(accused)")
            // By the id, from anybody: what is told of a passport last.
            _ = try await seller.command("passport", "revoke", passport, "--yes")
            let id = String(passport.dropFirst(9))
            let status = try await world.get(seller.url + "/log/promise/\(id)")
            #expect(status.status == 200 && status.text.contains(#""kind":"status""#), "\(status.text)")
            let first = try await world.get(seller.url + "/log/promise/\(id)?kind=passport")
            #expect(first.text.contains(#""kind":"passport""#), "\(first.text)")
            #expect(try await world.get(seller.url + "/log/promise/none").status == 404)
            #expect(try await seller.command("log", "promise", "none").status == 1)
        }
    }
}
