import CanonicalJSON
import Cryptography
import Delegation
import Encodings
import SignedDocuments
import Testing

/// What a seller checks of `Agent-Delegation`, with nobody to ask.
@Suite("Delegated calls")
struct DelegatedCallTests {
    private static func ticket(
        _ invocation: Invocation,
        _ links: [Delegation],
        node: Int = 0,
        expires: Int64 = 300,
        change: (inout CallArguments) -> Void = { _ in }
    ) throws -> DelegationTicket {
        var call = try CallArguments(invocation.arguments)
        change(&call)
        return try DelegationTicket.issue(
            id: "0190a1b2-0000-7000-8000-000000000001",
            agent: invocation.issuer,
            chain: links.map(\.cid),
            call: call,
            seller: invocation.recipient,
            issuedAt: Sample.now,
            expires: Sample.now.adding(seconds: expires),
            by: DocumentSigner(Sample.keys[node])
        )
    }

    private static func outcome(
        _ call: DelegatedCall,
        caller: Int = 3,
        method: String = "GET",
        target: String = Sample.target,
        digest: [UInt8] = Sample.digest,
        requiresTicket: Bool = false,
        passportIssuer: Int? = nil,
        _ rules: ChainRules = Sample.rules()
    ) -> (assurance: DelegatedCall.Assurance?, code: DelegationError.Code?) {
        do throws(DelegationError) {
            let assurance = try call.verify(
                caller: Sample.dids[caller],
                method: method,
                target: target,
                digest: digest,
                rules: rules,
                requiresTicket: requiresTicket,
                passportIssuer: passportIssuer.map { Sample.dids[$0] }
            )
            return (assurance, nil)
        } catch {
            return (nil, error.code)
        }
    }

    private static func call(ticketed: Bool = true) throws -> DelegatedCall {
        let links = try Sample.links()
        let invocation = try Sample.invocation(links)
        return DelegatedCall(
            invocation: invocation,
            chain: DelegationChain(links),
            ticket: ticketed ? try ticket(invocation, links) : nil
        )
    }

    @Test("[DLG-10] a call travels in a header and comes out the same; the header is bounded")
    func header() throws {
        let call = try Self.call()
        let header = try call.encodedHeader()
        #expect(header.utf8.count < 4500)
        #expect(try DelegatedCall(header: header) == call)
        #expect(try DelegatedCall(header: Self.call(ticketed: false).encodedHeader()).ticket == nil)
        for text in ["", "%", header + "=", String(header.dropLast(4)), String(repeating: "A", count: 16_385)] {
            #expect(throws: DelegationError.self) { try DelegatedCall(header: text) }
        }
    }

    @Test("[DLG-11] with a ticket all is known; without one the limit of a call, or the chain where it has no budget")
    func assurance() throws {
        #expect(Self.outcome(try Self.call()).assurance == .ticket)
        let bare = try Self.call(ticketed: false)
        #expect(Self.outcome(bare).assurance == .callLimit)
        #expect(Self.outcome(bare, requiresTicket: true).code == .ticketMissing)
        let links = [try Sample.link(0, 3)]
        let plain = DelegatedCall(invocation: try Sample.invocation(links), chain: DelegationChain(links), ticket: nil)
        #expect(Self.outcome(plain, requiresTicket: true).assurance == .chain)
    }

    @Test("[DLG-3] [DLG-11] another request, another caller, a long life, another command")
    func binding() throws {
        let call = try Self.call()
        #expect(Self.outcome(call, method: "POST").code == .wrongRequest)
        #expect(Self.outcome(call, target: Sample.target + "?x").code == .wrongRequest)
        #expect(Self.outcome(call, digest: Hashing.sha256([1])).code == .wrongRequest)
        #expect(Self.outcome(call, caller: 2).code == .wrongAudience)
        let links = try Sample.links()
        func bare(_ invocation: Invocation) -> DelegatedCall {
            DelegatedCall(invocation: invocation, chain: DelegationChain(links), ticket: nil)
        }
        let long = try Sample.invocation(links, expires: Sample.now.adding(seconds: 661))
        #expect(Self.outcome(bare(long)).code == .expiryTooFar)
        #expect(Self.outcome(bare(try Sample.invocation(links, expires: nil))).code == .expiryTooFar)
        #expect(
            Self.outcome(bare(try Sample.invocation(links, command: Command("/pay/call/x")))).code == .commandNotGiven
        )
    }

    @Test("[DLG-9] a ticket of another node, another call, another chain, or too late")
    func tickets() throws {
        let links = try Sample.links()
        let invocation = try Sample.invocation(links)
        func code(_ ticket: DelegationTicket, _ rules: ChainRules = Sample.rules()) -> DelegationError.Code? {
            Self.outcome(DelegatedCall(invocation: invocation, chain: DelegationChain(links), ticket: ticket), rules)
                .code
        }
        let good = try Self.ticket(invocation, links)
        #expect(code(good) == nil)
        #expect(code(try Self.ticket(invocation, links, node: 5)) == .ticketWrongNode)
        #expect(code(try Self.ticket(invocation, [links[0], links[1]])) == .ticketMismatch)
        #expect(code(try Self.ticket(invocation, links) { $0.amount = 3 }) == .ticketMismatch)
        #expect(code(try Self.ticket(invocation, links) { $0.call[0] ^= 1 }) == .ticketMismatch)
        #expect(code(try Self.ticket(invocation, links, expires: 601)) == .ticketExpired)
        #expect(code(try Self.ticket(invocation, links, expires: 0)) == .ticketExpired)
        // The node's name on what another key signed.
        var stolen = try Self.ticket(invocation, links, node: 5).document
        stolen["issuer"] = .string(Sample.dids[0].string)
        #expect(code(try DelegationTicket(document: stolen)) == .ticketForged)
    }

    @Test("[DLG-11] [DLG-14] a call without a chain: on whose authority, whose passport, and whose ticket")
    func ownAuthority() throws {
        func own(by actor: Int = 3, subject: Int = 3, ticketOf node: Int? = nil) throws -> DelegatedCall {
            let invocation = try Sample.invocation(by: actor, [], subject: subject)
            return DelegatedCall(
                invocation: invocation,
                chain: DelegationChain([]),
                ticket: try node.map { try Self.ticket(invocation, [], node: $0) }
            )
        }
        // The trusted root itself needs no passport, and no ticket: nobody keeps an account of it.
        #expect(Self.outcome(try own(by: 0, subject: 0), caller: 0, requiresTicket: true).assurance == .chain)
        #expect(Self.outcome(try own(by: 0, subject: 0, ticketOf: 0), caller: 0).code == .ticketWrongNode)
        // Anybody else is trusted for its passport's issuer, where the service trusts that.
        #expect(Self.outcome(try own()).code == .untrustedRoot)
        #expect(Self.outcome(try own(), Sample.rules { $0.trustedRoots = nil }).assurance == .chain)
        #expect(Self.outcome(try own(), passportIssuer: 5).assurance == .chain)
        #expect(Self.outcome(try own(), requiresTicket: true, passportIssuer: 5).code == .ticketMissing)
        #expect(
            Self.outcome(try own(ticketOf: 5), requiresTicket: true, passportIssuer: 5).assurance == .ticket
        )
        // The account is the issuer's: neither the trusted root's ticket nor the agent's own serves.
        #expect(Self.outcome(try own(ticketOf: 0), passportIssuer: 5).code == .ticketWrongNode)
        #expect(Self.outcome(try own(ticketOf: 3), passportIssuer: 5).code == .ticketWrongNode)
        #expect(Self.outcome(try own(ticketOf: 5)).code == .untrustedRoot)
        // A passport says who one is, not for whom one may act; and it makes no root of a chain's stranger.
        #expect(Self.outcome(try own(subject: 0), passportIssuer: 5).code == .proofMissing)
        #expect(Self.outcome(try own(), caller: 2, passportIssuer: 5).code == .wrongAudience)
        let links = [try Sample.link(4, 3, subject: 4, names: Sample.accounting())]
        let call = DelegatedCall(
            invocation: try Sample.invocation(links, subject: 4),
            chain: DelegationChain(links),
            ticket: nil
        )
        #expect(Self.outcome(call, passportIssuer: 5).code == .untrustedRoot)
        #expect(Self.outcome(call, passportIssuer: 4).code == .untrustedRoot)
    }

    @Test("[DLG-13] a chain is written to a file and read again; a file that is none is refused")
    func files() throws {
        let call = try Self.call()
        let file = DelegationFile(call.chain, invocation: call.invocation, ticket: call.ticket)
        #expect(try DelegationFile(bytes: file.document.serialized()) == file)
        #expect(DelegationFile.isOne(file.document))
        var other = file.document
        other["more"] = 1
        #expect(throws: DelegationError.self) { try DelegationFile(document: other) }
        other = file.document
        other["links"] = ["uAA"]
        #expect(throws: DelegationError.self) { try DelegationFile(document: other) }
    }
}
