import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Delegation
import Encodings
import Gateway
import NIOCore
import NIOHTTP1
import Paywall
import Receipts
import SignedDocuments
import TestSupport
import Testing

/// A call on a chain of delegations, as a seller meets it over the wire.
@Suite("Calls on a delegation", .serialized)
struct DelegationSaleTests {
    /// The root's node, and a planner it lets spend.
    private static let root = try? Ed25519.PrivateKey(seed: [UInt8](repeating: 21, count: 32))
    private static let planner = try? Ed25519.PrivateKey(seed: [UInt8](repeating: 22, count: 32))

    private struct Setting: Sendable {
        let node: TestNode
        let client: HTTPClient
        let port: Int
        let root: Ed25519.PrivateKey
        let planner: Ed25519.PrivateKey

        var url: String { "http://127.0.0.1:\(port)/s/weather/today" }
        var now: Timestamp { node.clock.wall.now() }

        func links(budget: UInt64? = nil, perCall: UInt64 = 10) throws -> [Delegation] {
            [
                try Delegation.issue(
                    by: root,
                    to: DIDKey(planner.publicKey),
                    subject: DIDKey(root.publicKey),
                    command: Command("/pay"),
                    policy: PaymentLimits(perCall: perCall, unit: "sat", depth: 2).policy(),
                    expires: now.adding(seconds: 3600),
                    terms: ProfileTerms(
                        budget: try budget.map { try Budget($0, unit: "sat") },
                        accounting: AccountingNode(did: DIDKey(root.publicKey), url: "http://127.0.0.1:1")
                    )
                )
            ]
        }

        func header(
            _ links: [Delegation],
            amount: UInt64 = 4,
            call: UInt8 = 1,
            target: String? = nil,
            ticketed: Bool = false
        ) throws -> String {
            let arguments = CallArguments(
                amount: amount,
                unit: "sat",
                depth: links.count,
                method: "GET",
                target: target ?? url,
                digest: Hashing.sha256([]),
                call: [UInt8](repeating: call, count: 32)
            )
            let invocation = try Invocation.issue(
                by: planner,
                subject: DIDKey(root.publicKey),
                command: .paidCall,
                arguments: arguments.pairs,
                proofs: links.map(\.cid),
                expires: now.adding(seconds: 300)
            )
            let ticket =
                try !ticketed
                ? nil
                : DelegationTicket.issue(
                    id: "0190a1b2-0000-7000-8000-000000000001",
                    agent: invocation.issuer,
                    chain: links.map(\.cid),
                    call: arguments,
                    seller: nil,
                    issuedAt: now,
                    expires: now.adding(seconds: 300),
                    by: DocumentSigner(root)
                )
            return try DelegatedCall(invocation: invocation, chain: DelegationChain(links), ticket: ticket)
                .encodedHeader()
        }

        /// On the planner's own authority: an invocation without a chain.
        func own(call: UInt8, by actor: Ed25519.PrivateKey? = nil, ticketOf node: Ed25519.PrivateKey? = nil) throws
            -> String
        {
            let arguments = CallArguments(
                amount: 4,
                unit: "sat",
                depth: 0,
                method: "GET",
                target: url,
                digest: Hashing.sha256([]),
                call: [UInt8](repeating: call, count: 32)
            )
            let invocation = try Invocation.issue(
                by: planner,
                subject: DIDKey((actor ?? planner).publicKey),
                command: .paidCall,
                arguments: arguments.pairs,
                proofs: [],
                expires: now.adding(seconds: 300)
            )
            let ticket = try node.map {
                try DelegationTicket.issue(
                    id: "0190a1b2-0000-7000-8000-000000000001",
                    agent: invocation.issuer,
                    chain: [],
                    call: arguments,
                    seller: nil,
                    issuedAt: now,
                    expires: now.adding(seconds: 300),
                    by: DocumentSigner($0)
                )
            }
            return try DelegatedCall(invocation: invocation, chain: DelegationChain([]), ticket: ticket).encodedHeader()
        }

        /// - Parameter issuer: whose passport the caller shows, which the service trusts.
        func get(
            _ delegation: String?,
            signed: Bool = true,
            pays: Bool = true,
            issuer: DIDKey? = nil
        ) async throws -> Answer {
            var request = HTTPClientRequest(url: url)
            if let delegation { request.headers.add(name: "Agent-Delegation", value: delegation) }
            let by = issuer.map { " by \($0)" } ?? ""
            if signed { request.headers.add(name: "Agent-Passport", value: "good \(DIDKey(planner.publicKey))\(by)") }
            if pays { request.headers.add(name: "X-Cashu", value: try node.payment(4)) }
            let response = try await client.execute(request, timeout: .seconds(20))
            return Answer(
                status: Int(response.status.code),
                headers: response.headers.map { ($0.name, $0.value) },
                body: Array(try await response.body.collect(upTo: 1 << 20).readableBytesView)
            )
        }

        func code(_ answer: Answer) -> String? { (try? JSONValue.parse(answer.body))?["code"]?.stringValue }
    }

    private func with(
        _ requirement: DelegationRequirement? = nil,
        _ body: @escaping @Sendable (Setting) async throws -> Void
    ) async throws {
        let root = try #require(Self.root)
        let planner = try #require(Self.planner)
        let node = try TestNode()
        try await node.start()
        let upstream = TestUpstream()
        try await withServer(upstream.router()) { upstreamPort in
            try await node.sell(upstream: upstreamPort, amount: 4) { $0.delegation = requirement }
            try await withServer(node.router()) { port in
                try await withClient { client in
                    try await body(Setting(node: node, client: client, port: port, root: root, planner: planner))
                }
            }
        }
        #expect(try await node.requireConservation() == [])
        try await node.stop()
    }

    private static var trusting: DelegationRequirement {
        DelegationRequirement(trustedRoots: root.map { [DIDKey($0.publicKey).string] } ?? [])
    }

    @Test("[DLG-13] a served call's receipt names the chain, the ticket, and how far it was checked")
    func served() async throws {
        try await with(Self.trusting) { setting in
            let links = try setting.links(budget: 100)
            let ticketed = try await setting.get(setting.header(links, ticketed: true))
            #expect(ticketed.status == 200, "\(ticketed.text)")
            let named = try #require(ticketed.receipt?.claims.delegation)
            #expect(named.chain == links.map(\.cid.description))
            #expect(named.ticket == "0190a1b2-0000-7000-8000-000000000001")
            #expect(named.checked == "ticket")
            #expect(ticketed.receipt?.verdict().reasons == [])
            // [DLG-11] Without a ticket the seller says that it knows the limit of a call alone.
            let bare = try await setting.get(setting.header(links, call: 2))
            #expect(bare.receipt?.claims.delegation?.checked == "call-limit", "\(bare.text)")
            #expect(bare.receipt?.claims.delegation?.ticket == nil)
            let plain = try await setting.get(setting.header(setting.links(), call: 3))
            #expect(plain.receipt?.claims.delegation?.checked == "chain")
            // Nobody has to act on a chain here.
            let own = try await setting.get(nil)
            #expect(own.status == 200 && own.receipt?.claims.delegation == nil)
        }
    }

    @Test("[DLG-16] the seller's word on an invocation is had by its receipt's id, the same each time")
    func invocationReceipt() async throws {
        try await with(Self.trusting) { setting in
            func word(_ id: String) async throws -> Answer {
                let url = "http://127.0.0.1:\(setting.port)/receipts/\(id)/invocation"
                let response = try await setting.client.execute(HTTPClientRequest(url: url), timeout: .seconds(20))
                return Answer(
                    status: Int(response.status.code),
                    headers: response.headers.map { ($0.name, $0.value) },
                    body: Array(try await response.body.collect(upTo: 1 << 20).readableBytesView)
                )
            }
            let links = try setting.links()
            let header = try setting.header(links, amount: 7)
            let paid = try #require(try await setting.get(header).receipt)
            let first = try await word(paid.id)
            #expect(first.status == 200, "\(first.text)")
            #expect(try await word(paid.id).body == first.body)
            let file = try InvocationReceipt(bytes: first.body)
            #expect(file.problems() == [])
            #expect(try file.invocation == DelegatedCall(header: header).invocation)
            #expect(file.receipt == paid.document && file.says.receiptID == paid.id)
            #expect(file.says.outcome == .served && file.says.amount == 4 && file.says.status == 200)
            #expect(file.assertion.issuer == paid.claims.seller.did)
            // Nobody's delegation, and no call at all.
            let own = try #require(try await setting.get(nil).receipt)
            #expect(try await word(own.id).status == 404)
            #expect(try await word("0190a1b2-0000-7000-8000-000000000001").status == 404)
            #expect(try await word("x").status == 404)
        }
    }

    @Test("[DLG-11] each `call` buys one; a dearer call than it says, another request, and no signature are refused")
    func refused() async throws {
        try await with(Self.trusting) { setting in
            let links = try setting.links()
            let header = try setting.header(links)
            #expect(try await setting.get(header).status == 200)
            func expect(_ status: Int, _ code: String, _ answer: Answer) {
                #expect(answer.status == status && setting.code(answer) == code, "\(answer.status) \(answer.text)")
            }
            expect(403, "replayed", try await setting.get(header))
            expect(403, "amount-too-low", try await setting.get(setting.header(links, amount: 3, call: 2)))
            expect(403, "over-call-limit", try await setting.get(setting.header(links, amount: 11, call: 2)))
            expect(
                403,
                "wrong-request",
                try await setting.get(setting.header(links, call: 2, target: setting.url + "?x"))
            )
            expect(401, "delegation-unsigned", try await setting.get(setting.header(links, call: 2), signed: false))
            expect(400, "malformed", try await setting.get("AAAA"))
            // A refused call has used nothing up.
            #expect(try await setting.get(setting.header(links, call: 2)).status == 200)
        }
    }

    @Test("[DLG-11] a service for holders of a chain: its roots alone, with a ticket where it asks for one")
    func required() async throws {
        var requirement = Self.trusting
        requirement.isRequired = true
        requirement.requiresTicket = true
        try await with(requirement) { setting in
            func expect(_ status: Int, _ code: String, _ answer: Answer) {
                #expect(answer.status == status && setting.code(answer) == code, "\(answer.status) \(answer.text)")
            }
            expect(401, "delegation-required", try await setting.get(nil))
            expect(401, "delegation-required", try await setting.get(nil, signed: false))
            // Whoever only asks is told the price.
            #expect(try await setting.get(nil, pays: false).status == 402)
            let links = try setting.links(budget: 100)
            expect(403, "ticket-missing", try await setting.get(setting.header(links)))
            #expect(try await setting.get(setting.header(links, ticketed: true)).status == 200)
        }
        let stranger = DIDKey(Ed25519.PrivateKey().publicKey).string
        try await with(DelegationRequirement(trustedRoots: [stranger])) { setting in
            let answer = try await setting.get(setting.header(setting.links()))
            #expect(answer.status == 403 && setting.code(answer) == "untrusted-root", "\(answer.text)")
        }
    }

    @Test(
        "[DLG-11] [DLG-14] on its own authority an agent calls with a passport that the service trusts, and its issuer's ticket"
    )
    func ownAuthority() async throws {
        var requirement = Self.trusting
        requirement.isRequired = true
        requirement.requiresTicket = true
        try await with(requirement) { setting in
            let issuer = try Ed25519.PrivateKey(seed: [UInt8](repeating: 23, count: 32))
            let did = DIDKey(issuer.publicKey)
            func expect(_ code: String, _ answer: Answer) {
                #expect(answer.status == 403 && setting.code(answer) == code, "\(answer.status) \(answer.text)")
            }
            // Without such a passport it is a root, and none that is trusted; nor is its own ticket worth anything then.
            expect("untrusted-root", try await setting.get(setting.own(call: 1)))
            expect("untrusted-root", try await setting.get(setting.own(call: 1, ticketOf: issuer)))
            // With it the issuer keeps the account, and nobody else.
            expect("ticket-missing", try await setting.get(setting.own(call: 1), issuer: did))
            expect(
                "ticket-wrong-node",
                try await setting.get(setting.own(call: 1, ticketOf: setting.root), issuer: did)
            )
            // A passport is nobody's word that its agent may act for another.
            expect(
                "proof-missing",
                try await setting.get(setting.own(call: 1, by: setting.root, ticketOf: issuer), issuer: did)
            )
            let served = try await setting.get(setting.own(call: 1, ticketOf: issuer), issuer: did)
            #expect(served.status == 200, "\(served.text)")
            let named = try #require(served.receipt?.claims.delegation)
            #expect(named.chain == [] && named.checked == "ticket")
            #expect(named.ticket == "0190a1b2-0000-7000-8000-000000000001")
            expect("replayed", try await setting.get(setting.own(call: 1, ticketOf: issuer), issuer: did))
        }
        try await with(Self.trusting) { setting in
            let issuer = DIDKey(Ed25519.PrivateKey().publicKey)
            let served = try await setting.get(setting.own(call: 1), issuer: issuer)
            #expect(served.status == 200 && served.receipt?.claims.delegation?.checked == "chain", "\(served.text)")
        }
    }

    @Test("what a service asks of delegations is written and read again; what makes no sense is refused")
    func definitions() throws {
        var service = try ServiceDefinition(
            name: "weather",
            upstream: UpstreamAddress("http://127.0.0.1:9"),
            prices: PriceList([PriceRule(pathPattern: "/*", price: Price(amount: 1))])
        )
        service.delegation = Self.trusting
        #expect(try ServiceDefinition(json: service.json).delegation == Self.trusting)
        for bad: JSONValue in [
            ["trustedRoots": ["did:web:x"]], ["required": true], ["trustedRoots": [], "more": 1],
        ] {
            guard var object = service.json.objectValue else { return }
            object["delegation"] = bad
            #expect(throws: GatewayError.self) { try ServiceDefinition(json: .object(object)) }
        }
    }
}
