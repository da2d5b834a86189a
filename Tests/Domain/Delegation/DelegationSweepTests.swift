import CanonicalJSON
import Cryptography
import Encodings
import FieldSweeps
import SignedDocuments
import Testing

@testable import Delegation

/// Every field of a link, an invocation, a ticket and an invocation's receipt flipped and taken out: refused, and why.
@Suite("every field of a delegated call")
struct DelegationSweepTests {
    private static let seller = Sample.keys[4]
    private static let stranger = Sample.dids[5].string

    private static func words(_ errors: [DelegationError]) -> String {
        errors.isEmpty
            ? "valid" : errors.map { FieldTable.word($0.code.rawValue, $0.message) }.joined(separator: "+")
    }

    private static func word(_ work: () throws(DelegationError) -> Void) -> String {
        do throws(DelegationError) {
            try work()
            return "valid"
        } catch {
            return FieldTable.word(error.code.rawValue, error.message)
        }
    }

    private func compare(_ table: FieldTable, _ found: [(place: String, outcome: FieldTable.Outcome)]) {
        let differences = table.differences(found)
        #expect(differences.isEmpty, "\(differences)")
    }

    /// An envelope as a map of what it is made of.
    private static func opened(_ bytes: [UInt8]) throws -> CBOR {
        let parts = try #require(DAGCBOR.decode(bytes, maximumBytes: 8192).arrayValue)
        return .map([CBORPair("signature", parts[0]), CBORPair("signed", parts[1])])
    }

    /// What of the envelope was changed; signed anew where `key` is there.
    private static func closed(_ item: CBOR, by key: Ed25519.PrivateKey? = nil) throws(DelegationError) -> [UInt8] {
        let signed = item[text: "signed"] ?? .null
        var signature = item[text: "signature"]
        if let key { signature = (try? key.sign(DAGCBOR.encode(signed))).map { .bytes($0) } }
        return try DAGCBOR.encode(.array([signature, signed].compactMap { $0 }))
    }

    /// 0 → 3 with everything that a link can say, and what it says of the call.
    private static func link() throws -> Delegation {
        try Delegation.issue(
            by: Sample.keys[0],
            to: Sample.dids[3],
            subject: Sample.dids[0],
            command: Command("/pay/call"),
            policy: PaymentLimits(perCall: 2, unit: "sat", depth: 1, target: Sample.target).policy(),
            notBefore: Sample.now,
            expires: Sample.now.adding(seconds: 1),
            terms: ProfileTerms(
                budget: try Budget(1000, unit: "sat", periodSeconds: 86_400),
                accounting: try Sample.accounting(),
                label: "agent"
            ),
            nonce: [UInt8](repeating: 5, count: 12)
        )
    }

    private static func call(
        _ invocation: Invocation,
        _ links: [Delegation],
        _ ticket: DelegationTicket? = nil
    ) -> String {
        word { () throws(DelegationError) in
            _ = try DelegatedCall(invocation: invocation, chain: DelegationChain(links), ticket: ticket).verify(
                caller: Sample.dids[3],
                method: "GET",
                target: Sample.target,
                digest: Sample.digest,
                rules: Sample.rules { $0.recipient = Sample.dids[4] },
                requiresTicket: false
            )
        }
    }

    @Test("[DLG-1] [DLG-6] a link: each member as it was signed, and signed anew by whom it names or not")
    func link() throws {
        let link = try Self.link()
        let item = try Self.opened(link.bytes)
        func judge(_ bytes: () throws(DelegationError) -> [UInt8]) -> String {
            Self.word { () throws(DelegationError) in
                let read = try Delegation(bytes: bytes())
                // The chain as it stands: what nobody acts on yet.
                try DelegationChain([read]).verify(Sample.rules())
            }
        }
        #expect(judge { () throws(DelegationError) in try Self.closed(item) } == "valid")
        compare(
            Self.linkUnsigned,
            try CBORSweep.run(item, otherDID: Self.stranger) { changed in
                judge { () throws(DelegationError) in try Self.closed(changed) }
            }
        )
        // Signed anew, under an invocation that names what was changed: what the link still says against the call.
        let signed = try #require(item[text: "signed"])
        compare(
            Self.linkResigned,
            try CBORSweep.run(signed, otherDID: Self.stranger) { changed in
                Self.word { () throws(DelegationError) in
                    let whole = CBOR.map([CBORPair("signed", changed)])
                    let read = try Delegation(bytes: Self.closed(whole, by: Sample.keys[0]))
                    guard let invocation = try? Sample.invocation([read], recipient: 4) else { return }
                    try DelegationChain([read]).verify(invocation, Sample.rules())
                }
            }
        )
    }

    @Test("[DLG-5] [DLG-6] a link in the middle of a chain: each member, signed anew by whom it was given to")
    func middle() throws {
        let links = [
            try Sample.link(0, 1, budget: 1000), try Sample.link(1, 2, command: "/pay/call", budget: 1000),
            try Sample.link(2, 3, command: "/pay/call", budget: 200),
        ]
        #expect(Sample.code(links, try Sample.invocation(links)) == nil)
        let signed = try #require(try Self.opened(links[1].bytes)[text: "signed"])
        compare(
            Self.middleResigned,
            try CBORSweep.run(signed, otherDID: Self.stranger) { changed in
                Self.word { () throws(DelegationError) in
                    let whole = CBOR.map([CBORPair("signed", changed)])
                    let read = try Delegation(bytes: Self.closed(whole, by: Sample.keys[1]))
                    let chain = [links[0], read, links[2]]
                    guard let invocation = try? Sample.invocation(chain) else { return }
                    try DelegationChain(chain).verify(invocation, Sample.rules())
                }
            }
        )
    }

    @Test("[DLG-1] [DLG-3] [DLG-11] an invocation: each member as it was signed, and signed anew by the caller")
    func invocation() throws {
        let links = [try Self.link()]
        let invocation = try Invocation.issue(
            by: Sample.keys[3],
            subject: Sample.dids[0],
            recipient: Sample.dids[4],
            command: .paidCall,
            arguments: Sample.arguments(depth: 1).pairs,
            proofs: links.map(\.cid),
            expires: Sample.now.adding(seconds: 300),
            issuedAt: Sample.now,
            nonce: [UInt8](repeating: 9, count: 12)
        )
        #expect(Self.call(invocation, links) == "valid")
        let item = try Self.opened(invocation.bytes)
        func judge(_ bytes: () throws(DelegationError) -> [UInt8]) -> String {
            do throws(DelegationError) {
                let read = try Invocation(bytes: bytes())
                let chain = try DelegationChain(of: read, from: links)
                return Self.call(read, chain.links)
            } catch {
                return FieldTable.word(error.code.rawValue, error.message)
            }
        }
        compare(
            Self.invocationUnsigned,
            try CBORSweep.run(item, otherDID: Self.stranger) { changed in
                judge { () throws(DelegationError) in try Self.closed(changed) }
            }
        )
        compare(
            Self.invocationResigned,
            try CBORSweep.run(try #require(item[text: "signed"]), otherDID: Self.stranger) { changed in
                judge { () throws(DelegationError) in
                    try Self.closed(.map([CBORPair("signed", changed)]), by: Sample.keys[3])
                }
            }
        )
    }

    @Test("[DLG-9] a ticket: each member as it was signed, and signed anew by the accounting node")
    func ticket() throws {
        let links = [try Self.link()]
        let invocation = try Sample.invocation(links, recipient: 4)
        let ticket = try DelegationTicket.issue(
            id: "0190a1b2-0000-7000-8000-000000000001",
            agent: Sample.dids[3],
            chain: links.map(\.cid),
            call: CallArguments(invocation.arguments),
            seller: Sample.dids[4],
            issuedAt: Sample.now,
            expires: Sample.now.adding(seconds: 600),
            by: DocumentSigner(Sample.keys[0])
        )
        func judge(_ document: JSONValue) -> String {
            do throws(DelegationError) {
                return Self.call(invocation, links, try DelegationTicket(bytes: document.serialized()))
            } catch {
                return FieldTable.word(error.code.rawValue, error.message)
            }
        }
        #expect(judge(.object(ticket.document)) == "valid")
        compare(
            Self.ticketUnsigned,
            try JSONSweep.run(.object(ticket.document), otherDID: Self.stranger) { judge($0) }
        )
        var unsigned = ticket.document
        unsigned["proof"] = nil
        compare(
            Self.ticketResigned,
            try JSONSweep.run(.object(unsigned), otherDID: Self.stranger) { changed in
                let object = try #require(changed.objectValue)
                let signer = DocumentSigner(Sample.keys[0])
                return judge(.object(try DataIntegrity.sign(object, by: signer, created: Sample.now)))
            }
        )
    }

    @Test("[DLG-10] a bundle: each part of it changed, left out, or of another kind")
    func bundle() throws {
        let links = try Sample.links()
        let call = DelegatedCall(
            invocation: try Sample.invocation(links),
            chain: DelegationChain(links),
            ticket: nil
        )
        let item = try DAGCBOR.decode(call.bytes(), maximumBytes: 16_384)
        compare(
            Self.bundle,
            try CBORSweep.run(item, otherDID: Self.stranger) { changed in
                do throws(DelegationError) {
                    let read = try DelegatedCall(bytes: DAGCBOR.encode(changed))
                    return Self.call(read.invocation, read.chain.links)
                } catch {
                    return FieldTable.word(error.code.rawValue, error.message)
                }
            }
        )
    }
}
