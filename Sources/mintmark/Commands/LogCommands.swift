import ArgumentParser
import AsyncHTTPClient
import CanonicalJSON
import Encodings
import Foundation
import Node
import Receipts
import SignedDocuments
import Storage
import TransparencyLog

struct LogCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log",
        abstract: "The transparency log: what this node has issued, revoked and received, provably and for good.",
        discussion: """
            Every passport, credential and delegation, change of status, revocation, rotation of a key, settlement and \
            receipt goes in as a salted hash within a second. Whoever holds a document can prove that the log has it; \
            nobody else can tell what is in there.
              mintmark log show
              mintmark log promise 01939a… > passport.promise
              mintmark log proof 01939a… > receipt.tlog-proof
              mintmark log verify receipt.tlog-proof --document receipt.json --key did:key:z6Mk…
              mintmark log verify http://127.0.0.1:8402/log --checkpoint seen.txt
            """,
        subcommands: [Show.self, Promise.self, Proof.self, Verify.self, Anew.self]
    )

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(abstract: "The log's size, root, key and latest checkpoint.")
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/log")
            if options.json { return Output.json(answer) }
            Output.facts(["origin", "key", "size", "root", "waiting"].map { ($0, answer.shown($0)) })
            if answer["halted"] != nil { Output.line("TAKES NO MORE ENTRIES: \(answer.shown("halted"))") }
            Output.line("")
            Output.line(answer.shown("checkpoint"))
        }
    }

    struct Promise: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "The node's signed promise that the log will hold a document.",
            discussion: """
                It is given at once, before the document is logged, and names the entry and an instant: a log without that \
                entry after the instant has broken it, as mintmark log verify shows. Receipts carry theirs themselves.
                  mintmark log promise 01939a… > passport.promise
                  mintmark log verify https://node.example/log --document passport.json --promise passport.promise
                """
        )
        @Argument(help: "The id of a passport, an agent, a delegation or a settlement, or a document's file.") var id:
            String
        @Option(help: "\(LogCommand.kinds). Default: the latest of this id.")
        var kind: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let document = try LogCommand.document(id)
            for reference in document?.references ?? [LogCommand.bare(id)] {
                let kind = kind ?? (reference == document?.own?.id ? document?.own?.kind : nil)
                let query = kind.map { "?kind=\($0)" } ?? ""
                let answer: JSONValue
                do {
                    answer = try await node.call(.get, "/api/log/promise/\(reference.urlSegment)\(query)")
                } catch let failure as Failure where failure.code == "not-found" {
                    continue
                }
                let promise = try LogPromise(document: answer.objectValue ?? JSONObject())
                if let document, try document.entry(salt: promise.promise.salt) != promise.entry { continue }
                return Output.line(answer.prettyPrinted())
            }
            throw Failure("the log holds \(kind.map { "no \($0)" } ?? "nothing") of \(id), and none waits for it")
        }
    }

    private static let kinds = "passport, credential, delegation, status, revocation, rotation, move or settlement"

    /// The document in a file; nil where what is named is none.
    private static func document(_ name: String) throws -> LoggedDocument? {
        guard name == "-" || FileManager.default.fileExists(atPath: name) else { return nil }
        return try LoggedDocument(path: name)
    }

    private static func bare(_ id: String) -> String { id.hasPrefix("urn:uuid:") ? String(id.dropFirst(9)) : id }

    struct Proof: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Prove that the log holds a document.",
            discussion: """
                Prints a proof in the form of C2SP tlog-proof, to be checked with nothing but the document and this \
                node's key. Of a passport the log holds its changes of status too: --kind chooses. Documents that \
                nobody else keeps (changes of status, rotations) stand in the answer to --json. Credentials, and \
                passports in other forms, are found by their files.
                  mintmark log proof 01939a… > receipt.tlog-proof
                  mintmark log proof urn:uuid:7f2c… --kind status
                  mintmark log proof passport.jwt > passport.tlog-proof
                """
        )
        @Argument(help: "The id of a receipt, a passport, a delegation or an agent, or a document's file.")
        var id: String
        @Option(help: "receipt, \(LogCommand.kinds). Default: the first of this id.")
        var kind: String?
        @Flag(help: "Under the earliest kept checkpoint that a witness has cosigned, not the latest one.")
        var witnessed = false
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let document = try LogCommand.document(id)
            var entries: [JSONValue] = []
            for reference in document?.references ?? [LogCommand.bare(id)] where entries.isEmpty {
                let answer = try await node.call(.get, "/api/log/entries/\(reference.urlSegment)")
                entries = try answer.array("entries").filter { entry in
                    guard kind == nil || entry["kind"]?.stringValue == kind else { return false }
                    guard let document else { return true }
                    let salt = try Hex.decode(entry.string("salt"))
                    return try Hex.encode(document.entry(salt: salt)) == entry.string("entry")
                }
            }
            if options.json { return Output.json(["entries": .array(entries)]) }
            guard let entry = entries.first else {
                throw Failure("the log holds \(kind.map { "no \($0)" } ?? "nothing") of \(id)")
            }
            guard !witnessed || entry["witnessedProof"] != nil else {
                throw Failure("no witness has cosigned a tree that holds it yet")
            }
            print(try entry.string(witnessed ? "witnessedProof" : "proof"), terminator: "")
        }
    }

    struct Anew: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Begin another log, after a witness found this one to be an older copy and the rest is lost.",
            discussion: """
                Put the right database back instead, where you have it. The new log has a name of its own; the old one stays \
                what it is, without the entries that were lost. Tell the witnesses: mintmark witness add, once more.
                  mintmark log anew
                """
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            try options.confirm("The log's lost entries will never be proven again.")
            let answer = try await node.call(.post, "/api/log/anew", [:])
            if options.json { return Output.json(answer) }
            Output.line("the log is \(answer.shown("origin")) now")
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check a proof offline, or read a whole log and work its tree out anew.",
            discussion: """
                A file is a proof: with --document it is checked that the log whose key is given holds that document; \
                with --before that a witness had seen it there by then, which is what counts of a key that was stolen \
                later. An address or a folder is a log: every entry is read, and the root must be the one that its \
                checkpoint signs. With --checkpoint the log must begin with what that file says, and the file is written \
                anew: a log that was rewound or forked since is found out. With --document a receipt must be where it \
                promised to be, another document where --promise says. Exits with 2 where something does not hold.
                  mintmark log verify receipt.tlog-proof --document receipt.json --key did:key:z6Mk…
                  mintmark log verify x.tlog-proof --document x.json --key … --witness … --before 2026-11-21T00:00:00Z
                  mintmark log verify https://node.example/log --key did:key:z6Mk… --checkpoint seen.txt
                  mintmark log verify https://node.example/log --key did:key:z6Mk… --document receipt.json
                """
        )
        @Argument(help: "A proof's file, - for standard input, a log's http(s) address or its folder.") var subject:
            String
        @Option(help: "The document whose entry is proven: JSON, or a token.") var document: String?
        @Option(help: "The log's promise of that document (mintmark log promise).") var promise: String?
        @Option(help: "The log's key: a did:key, or `name+id+base64`.") var key: String?
        @Option(help: "A witness's key (`name+id+base64`). May be repeated.") var witness: [String] = []
        @Option(help: "How many of the witnesses must have signed.") var quorum = 0
        @Option(help: "The instant (RFC 3339) before which witnesses must have signed the proof.") var before: String?
        @Option(help: "Where the last checkpoint that was seen is kept.") var checkpoint: String?
        @Flag(help: "Print one JSON value instead of text.") var json = false

        func run() async throws {
            do {
                if subject.hasPrefix("http://") || subject.hasPrefix("https://") || Self.isFolder(subject) {
                    try await verifyLog()
                } else {
                    try verifyProof()
                }
            } catch let error as LogError {
                refuse(error.code.rawValue, error.message)
            } catch let error as ReceiptReason {
                refuse(error.code.rawValue, error.message)
            } catch {
                Failure.end(error, json: json)
            }
        }

        private func refuse(_ code: String, _ message: String) -> Never {
            if json {
                Output.json(["ok": false, "code": .string(code), "error": .string(message)])
            } else {
                Output.line("NOT VALID: \(message) (\(code))")
            }
            Foundation.exit(ExitStatus.refused.rawValue)
        }

        private func verifyProof() throws {
            guard let document, let key else {
                throw Failure("a proof is checked with --document FILE and --key KEY", .usage)
            }
            let proof = try LogProof(String(decoding: try VerifyCommand.read(subject), as: UTF8.self))
            guard let salt = proof.extra else {
                throw LogError(.malformed, "the proof carries no salt, so it is none of a document of this kind")
            }
            let entry = try LoggedDocument(path: document).entry(salt: salt)
            let log = try Self.noteKey(key, origin: Checkpoint(text: proof.checkpoint.text).origin)
            let head = try proof.verify(
                entry: entry,
                log: log,
                witnesses: try witness.map { try NoteKey(vkey: $0) },
                quorum: quorum,
                before: try before.map { UInt64(max(try Timestamp(rfc3339: $0).secondsSince1970, 0)) }
            )
            if json {
                return Output.json([
                    "ok": true, "origin": .string(head.origin), "index": .integer(Int64(clamping: proof.index)),
                    "size": .integer(Int64(clamping: head.size)),
                ])
            }
            Output.line("The log \(head.origin) holds the document: entry \(proof.index) of \(head.size).")
        }

        private func verifyLog() async throws {
            let known = try checkpoint.flatMap { path -> SignedNote? in
                guard FileManager.default.fileExists(atPath: path) else { return nil }
                return try SignedNote(String(decoding: try VerifyCommand.read(path), as: UTF8.self))
            }
            let promised = try promisedEntry()
            let http = HTTPClient(eventLoopGroupProvider: .singleton)
            let reader = LogReader(prefix: subject.hasSuffix("/") ? String(subject.dropLast()) : subject, http: http)
            let finding: LogReader.Finding
            do {
                finding = try await reader.read(
                    key: key.map { key in { try Self.noteKey(key, origin: $0) } },
                    known: known,
                    quorum: LogReader.Quorum(witnesses: try witness.map { try NoteKey(vkey: $0) }, count: quorum),
                    wanted: promised?.entry
                ) { done, all in
                    if !json, all > 100_000 { Output.note("\(done) of \(all) entries read") }
                }
            } catch {
                try? await http.shutdown()
                throw error
            }
            try await http.shutdown()
            // Nobody else's promise is held against this log.
            if let promised, promised.log != finding.checkpoint.origin || promised.issuer.ed25519 != finding.key.key {
                throw LogError(.wrongOrigin, "\(promised.issuer) promised it for \(promised.log), which is another log")
            }
            if let promised, finding.index == nil {
                let isOver = promised.by <= WallClock.system.now()
                let word = isOver ? "and promised to by then" : "nor need it before then"
                throw LogError(
                    .notIncluded,
                    "the log does not hold the document, \(word): \(promised.by.rfc3339)"
                )
            }
            if let checkpoint {
                try Data(finding.note.string.utf8).write(to: URL(fileURLWithPath: checkpoint), options: .atomic)
            }
            report(finding)
        }

        private static func isFolder(_ path: String) -> Bool {
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
        }

        /// What was promised: which entry, by when, of which log, and who signed it.
        private struct Promised {
            var entry: [UInt8]
            var by: Timestamp
            var log: String
            var issuer: DIDKey
        }

        /// The entry that the log will hold, as the receipt itself or a promise beside the document says under a signature.
        private func promisedEntry() throws -> Promised? {
            guard let document else { return nil }
            let logged = try LoggedDocument(path: document)
            guard let promise else {
                guard let own = InclusionPromise(document: logged.value), let object = logged.value.objectValue else {
                    throw Failure("\(document) promises no place in a log: give --promise, or check its proof", .usage)
                }
                let receipt = try Receipt(document: object)
                if let reason = receipt.verdict().reasons.first { throw reason }
                let entry = try logged.entry(salt: own.salt)
                return Promised(entry: entry, by: own.by, log: own.log, issuer: receipt.claims.seller.did)
            }
            let beside = try LogPromise(document: VerifyCommand.object(VerifyCommand.read(promise)))
            let entry = try logged.entry(salt: beside.promise.salt)
            try beside.verify(entry: entry)
            return Promised(entry: entry, by: beside.promise.by, log: beside.promise.log, issuer: beside.issuer)
        }

        private func report(_ finding: LogReader.Finding) {
            let head = finding.checkpoint
            if json {
                var object: JSONObject = [
                    "ok": true, "origin": .string(head.origin), "size": .integer(Int64(clamping: head.size)),
                    "root": .string(Base64.encode(head.root)), "key": .string("\(finding.key)"),
                ]
                object["index"] = finding.index.map { .integer(Int64(clamping: $0)) }
                object["beginsWith"] = finding.beginsWith.map { .integer(Int64(clamping: $0)) }
                return Output.json(.object(object))
            }
            Output.line("The log \(head.origin) is whole: \(head.size) entries, and the root is the signed one.")
            if let index = finding.index { Output.line("It holds the document, as entry \(index).") }
            if let before = finding.beginsWith {
                Output.line("It begins with the \(before) entries of the checkpoint seen before.")
            }
            if finding.isKeyOnlyTold {
                Output.line("Not checked: whose log it is. It says that its key is \(finding.key); give --key.")
            }
        }

        /// A did:key signs under the log's own name.
        private static func noteKey(_ text: String, origin: String) throws -> NoteKey {
            guard text.hasPrefix("did:key:") else { return try NoteKey(vkey: text) }
            guard let key = try DIDKey(parsing: text).ed25519 else {
                throw Failure("a log is signed with an Ed25519 key", .usage)
            }
            return try NoteKey(name: origin, key: key)
        }
    }
}
