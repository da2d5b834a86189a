import Cryptography
import Delegation
import Encodings
import SignedDocuments
import TestSupport
import Testing

/// Every way in which a chain can be wrong has its own code.
@Suite("Chains under attack")
struct ChainAttackTests {
    @Test("[DLG-6] a good chain is good, with and without an invocation")
    func good() throws {
        let links = try Sample.links()
        #expect(Sample.code(links) == nil)
        #expect(Sample.code(links, try Sample.invocation(links)) == nil)
        #expect(Sample.code([], try Sample.invocation(by: 0, [])) == nil)
    }

    @Test("[DLG-5] [DLG-6] widened: a command, a budget, an accounting node that was not given")
    func widened() throws {
        let root = try Sample.link(0, 1, command: "/pay/call", budget: 100)
        #expect(Sample.code([root, try Sample.link(1, 2, command: "/pay")]) == .commandWidened)
        #expect(Sample.code([root, try Sample.link(1, 2, command: "/pay/calls")]) == .commandWidened)
        #expect(Sample.code([root, try Sample.link(1, 2, command: "/pay/call", budget: 101)]) == .budgetWidened)
        let other = try AccountingNode(did: Sample.dids[5], url: "http://127.0.0.1:9")
        #expect(Sample.code([root, try Sample.link(1, 2, command: "/pay/call", names: other)]) == .accountingChanged)
        // A link without limits of its own does not lift those above it.
        let loose = try Sample.link(1, 2, command: "/pay/call", limits: PaymentLimits())
        let invocation = try Sample.invocation(by: 2, [root, loose], arguments: Sample.arguments(101, depth: 2))
        #expect(Sample.code([root, loose], invocation) == .overCallLimit)
    }

    @Test("[DLG-6] reordered and broken chains, and a chain that lacks its middle")
    func order() throws {
        let links = try Sample.links()
        #expect(Sample.code([links[0], links[2], links[1]]) == .reordered)
        #expect(Sample.code([links[2], links[1], links[0]]) == .reordered)
        #expect(Sample.code([links[0], links[2]]) == .brokenChain)
        #expect(Sample.code([links[1], links[2]]) == .selfIssued)
    }

    @Test("[DLG-6] expired and not yet valid links, at the second, wherever they stand")
    func times() throws {
        for index in 0..<3 {
            var links = try Sample.links()
            let command = index == 0 ? "/pay" : "/pay/call"
            links[index] = try Sample.link(index, index + 1, command: command, expires: Sample.now)
            #expect(Sample.code(links) == .expired)
            links[index] = try Sample.link(index, index + 1, command: command, expires: Sample.now.adding(seconds: 1))
            #expect(Sample.code(links) == nil)
            links[index] = try Sample.link(index, index + 1, command: command, notBefore: Sample.now.adding(seconds: 1))
            #expect(Sample.code(links) == .notYetValid)
            links[index] = try Sample.link(index, index + 1, command: command, notBefore: Sample.now)
            #expect(Sample.code(links) == nil)
        }
        let links = try Sample.links()
        #expect(Sample.code(links, try Sample.invocation(links, expires: Sample.now)) == .expired)
    }

    @Test("[DLG-6] self-issued: a stranger that gives itself what is the node's")
    func selfIssued() throws {
        let stolen = try Sample.link(4, 3, subject: 0)
        #expect(Sample.code([stolen], try Sample.invocation([stolen])) == .selfIssued)
        #expect(Sample.code([], try Sample.invocation(by: 3, [])) == .proofMissing)
        // A root of its own is a chain, of nobody who is trusted here.
        let own = try Sample.link(4, 3, subject: 4, names: Sample.accounting())
        #expect(Sample.code([own], try Sample.invocation([own], subject: 4)) == .untrustedRoot)
        let nobody = try Sample.link(0, 3, subject: nil)
        #expect(Sample.code([nobody]) == .subjectMissing)
    }

    @Test("[DLG-6] mid-chain revoked, by name and by key")
    func revoked() throws {
        let links = try Sample.links()
        let middle = links[1].cid
        let byName = Sample.rules { $0.isRevoked = { $0 == middle } }
        #expect(Sample.code(links, try Sample.invocation(links), byName) == .revoked)
        let key = Sample.dids[1]
        let byKey = Sample.rules { $0.isKeyRevoked = { $0 == key } }
        #expect(Sample.code(links, nil, byKey) == .keyRevoked)
        let problem = DelegationChain(links).problems(nil, byKey)
        #expect(problem.map(\.link) == [1])
        #expect(problem.map(\.key) == [key])
    }

    @Test("[DLG-6] too deep: by a link's word, and by the bound")
    func depth() throws {
        let links = try Sample.links()
        let shallow = [try Sample.link(0, 1, limits: PaymentLimits(unit: "sat", depth: 2)), links[1], links[2]]
        #expect(Sample.code(shallow, try Sample.invocation(shallow)) == .tooDeep)
        let lie = try Sample.invocation(shallow, arguments: Sample.arguments(depth: 2))
        #expect(Sample.code(shallow, lie) == .wrongDepth)
        var long = [try Sample.link(0, 1)]
        for index in 0..<8 { long.append(try Sample.link(1 + index % 2, 2 - index % 2)) }
        #expect(Sample.code(long) == .tooDeep)
    }

    @Test("[DLG-6] wrong audience, subject, recipient, unit, amount, command")
    func binding() throws {
        let links = try Sample.links()
        #expect(Sample.code(links, try Sample.invocation(by: 4, links)) == .wrongAudience)
        #expect(Sample.code(links, try Sample.invocation(links, subject: 1)) == .wrongSubject)
        let other = [links[0], try Sample.link(1, 3, command: "/pay/call", subject: 2)]
        #expect(Sample.code(other) == .wrongSubject)
        let meant = try Sample.invocation(links, recipient: 5)
        let seller = Sample.dids[4]
        #expect(Sample.code(links, meant, Sample.rules { $0.recipient = seller }) == .wrongRecipient)
        #expect(Sample.code(links, try Sample.invocation(links, command: Command("/mint"))) == .commandNotGiven)
        #expect(Sample.code(links, try Sample.invocation(links, arguments: Sample.arguments(101))) == .overCallLimit)
        var euros = Sample.arguments()
        euros.unit = "eur"
        #expect(Sample.code(links, try Sample.invocation(links, arguments: euros)) == .wrongUnit)
        let only = [try Sample.link(0, 3, limits: PaymentLimits(unit: "sat", target: "https://weather.example/*"))]
        #expect(Sample.code(only, try Sample.invocation(only)) == .policyViolated)
        var unnamed = try Sample.link(1, 2, budget: 5)
        unnamed = try Sample.link(1, 2, subject: 1, budget: 5)
        let root = Sample.dids[1]
        #expect(Sample.code([unnamed], nil, Sample.rules { $0.trustedRoots = [root] }) == .accountingMissing)
    }

    @Test("[DLG-6] proofs that are missing, and that nobody asked for")
    func proofs() throws {
        let links = try Sample.links()
        let invocation = try Sample.invocation(links)
        func code(_ proofs: [Delegation]) -> DelegationError.Code? {
            do throws(DelegationError) {
                _ = try DelegationChain(of: invocation, from: proofs)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(code(links.reversed()) == nil)
        #expect(code([links[0], links[2]]) == .proofUnavailable)
        #expect(code(links + [try Sample.link(0, 4)]) == .proofSurplus)
    }

    @Test("[DLG-1] forged: every byte of every envelope flipped is refused, and nothing crashes")
    func flipped() throws {
        let links = try Sample.links()
        let invocation = try Sample.invocation(links)
        for (index, link) in links.enumerated() {
            for place in link.bytes.indices {
                var bytes = link.bytes
                bytes[place] ^= UInt8(1 << (place % 8))
                guard let changed = try? Delegation(bytes: bytes) else { continue }
                #expect(changed.cid != link.cid)
                var chain = links
                chain[index] = changed
                #expect(Sample.code(chain, invocation) != nil, "byte \(place) of link \(index)")
                #expect(throws: DelegationError.self) { try changed.verifySignature() }
            }
        }
        for place in invocation.bytes.indices {
            var bytes = invocation.bytes
            bytes[place] ^= UInt8(1 << (place % 8))
            guard let changed = try? Invocation(bytes: bytes) else { continue }
            #expect(Sample.code(links, changed) != nil, "byte \(place)")
        }
    }

    @Test("[DLG-1] a signature by another key is forged")
    func forged() throws {
        let links = try Sample.links()
        // The middle link's payload under the signature of another.
        let item = try DAGCBOR.decode(links[1].bytes, maximumBytes: 8192)
        let stranger = try DAGCBOR.decode(links[2].bytes, maximumBytes: 8192)
        let parts = try #require(item.arrayValue)
        let others = try #require(stranger.arrayValue)
        let mixed = try Delegation(bytes: DAGCBOR.encode(.array([others[0], parts[1]])))
        #expect(Sample.code([links[0], mixed, links[2]]) == .forged)
        #expect(
            DelegationChain([links[0], mixed, links[2]]).problems(nil, Sample.rules()).map(\.key) == [Sample.dids[1]]
        )
    }

    @Test("[DLG-1] one form only: other CBOR of the same content is not canonical")
    func canonical() throws {
        let link = try Sample.link(0, 1)
        func code(_ bytes: [UInt8]) -> DelegationError.Code? {
            do throws(DelegationError) {
                _ = try Delegation(bytes: bytes)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(code(link.bytes) == nil)
        // The array's head as an array of indefinite length, and with a longer head.
        #expect(code([0x9F] + link.bytes.dropFirst() + [0xFF]) == .notCanonical)
        #expect(code([0x98, 0x02] + link.bytes.dropFirst()) == .notCanonical)
        #expect(code(link.bytes + [0]) == .malformed)
        #expect(code([UInt8](link.bytes.dropLast())) == .malformed)
        #expect(code([UInt8](repeating: 0x81, count: 9000)) == .tooLarge)
        #expect(code([UInt8](repeating: 0x81, count: 100)) == .tooLarge)
        // A signature of another kind.
        let parts = try #require(DAGCBOR.decode(link.bytes, maximumBytes: 8192).arrayValue)
        guard case .map(var members) = parts[1] else { return }
        members = members.map { $0.key == .text("h") ? CBORPair("h", .bytes([0x34, 0x01, 0x92, 0x24])) : $0 }
        #expect(code(try DAGCBOR.encode(.array([parts[0], .map(members)]))) == .unsupportedSignature)
    }

    @Test("[DLG-1] DAG-CBOR: what one form holds is read again as the same, whatever the order of a map's keys")
    func roundTrips() throws {
        var random = SeededRandom(seed: 42)
        func item(_ depth: Int) -> CBOR {
            switch Int.random(in: 0..<(depth > 3 ? 6 : 8), using: &random) {
            case 0:
                .unsigned(UInt64.random(in: 0 ... .max, using: &random) >> UInt64.random(in: 0...63, using: &random))
            case 1: .negative(UInt64.random(in: 0...70000, using: &random))
            case 2: .bytes(random.bytes(Int.random(in: 0...30, using: &random)))
            case 3: .text(String(Int.random(in: 0...1_000_000, using: &random)))
            case 4: .float(Double(Int.random(in: -100...100, using: &random)) / 8)
            case 5: .bool(Bool.random(using: &random))
            case 6: .array((0..<Int.random(in: 0...4, using: &random)).map { _ in item(depth + 1) })
            default:
                .map(
                    Set((0..<5).map { _ in String(Int.random(in: 0...5000, using: &random)) }).map {
                        CBORPair($0, item(depth + 1))
                    }
                )
            }
        }
        for _ in 0..<300 {
            let bytes = try DAGCBOR.encode(item(0))
            #expect(try DAGCBOR.encode(DAGCBOR.decode(bytes, maximumBytes: 1 << 20)) == bytes)
        }
        // Half floats, short heads and keys out of order are other forms.
        for bytes: [UInt8] in [
            [0xF9, 0x3C, 0x00], [0x18, 0x01], [0xA2, 0x62, 0x61, 0x61, 0x00, 0x61, 0x62, 0x00], [0xF7], [0xC1, 0x00],
        ] {
            #expect(throws: DelegationError.self) { try DAGCBOR.decode(bytes, maximumBytes: 100) }
        }
    }
}
