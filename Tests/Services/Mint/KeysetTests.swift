import CanonicalJSON
import Cashu
import Encodings
import Lightning
import Mint
import Storage
import TestSupport
import Testing
import Workers

@Suite struct KeysetTests {
    @Test("The keys told at /v1/keys make the keyset id they are told under, 64 powers of two each")
    func keys() async throws {
        let fixture = try await MintFixture(
            MintConfiguration(units: [
                .init(unit: .sat, inputFeePPK: 100), .init(unit: .msat, finalExpiry: 2_000_000_000),
            ])
        )
        let response = try KeysResponse(json: .parse(try fixture.mint.activeKeys, limits: .amounts))
        #expect(response.keysets.map(\.unit) == [.sat, .msat])
        #expect(response.keysets.map(\.info.inputFeePPK) == [100, 0])
        #expect(response.keysets.map(\.info.finalExpiry) == [nil, 2_000_000_000])
        #expect(response.keysets.allSatisfy { $0.keys.count == 64 && $0.keys[1 << 63] != nil })
        #expect(response.keysets.allSatisfy { $0.id.version == .v2 })
        let one = try fixture.mint.keys(of: response.keysets[1].id.hex)
        #expect(try KeysResponse(json: .parse(one, limits: .amounts)).keysets.map(\.id) == [response.keysets[1].id])
        #expect(await code { try fixture.mint.keys(of: "00ffffffffffffff") } == .keysetUnknown)
        #expect(await code { try fixture.mint.keys(of: "no keyset at all") } == .keysetUnknown)
    }

    @Test("The same seed and database open the same keysets; another seed is refused before anything is served")
    func reopening() async throws {
        let fixture = try await MintFixture()
        let before = try fixture.keyset().id
        try await fixture.reopen()
        #expect(try fixture.keyset().id == before)
        let database = try fixture.database
        await #expect(throws: MintSetupError.self) {
            _ = try await Mint(
                database: database,
                seed: Array(repeating: 1, count: 32),
                lightning: fixture.lightning,
                workers: fixture.workers,
                clock: WallClock { MintFixture.start },
                configuration: fixture.configuration,
                logger: MintFixture.logger
            )
        }
    }

    @Test("After a rotation the old keyset signs nothing (12002) but redeems; value moves to the new one in the ledger")
    func rotation() async throws {
        let fixture = try await MintFixture()
        let old = try fixture.keyset()
        let proofs = try await fixture.issue([8, 4])
        try await fixture.mint.rotate(.sat)
        let new = try fixture.keyset()
        #expect(new.id != old.id)
        #expect(
            await code { try await fixture.swap(proofs, into: fixture.secrets([8, 4], of: old.id)) } == .keysetInactive
        )
        _ = try await fixture.swap(proofs, into: fixture.secrets([8, 4], of: new.id))
        let list = try KeysetsResponse(json: .parse(try fixture.mint.keysetList))
        #expect(list.keysets.map(\.isActive) == [false, true])
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.keysets.map(\.outstanding) == [0, 12])
        try await fixture.reopen()
        #expect(try fixture.keyset().id == new.id)
    }

    @Test("Inputs of an old and a new keyset pay each its own fee")
    func mixedFees() async throws {
        let fixture = try await MintFixture(MintConfiguration(units: [.init(unit: .sat, inputFeePPK: 600)]))
        let old = try await fixture.issue([8])
        try await fixture.mint.rotate(.sat)
        let new = try await fixture.issue([8])
        // 600 + 600 is 1.2, so 2.
        _ = try await fixture.swap(old + new, into: fixture.secrets([2, 4, 8]))
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.keysets.map(\.outstanding) == [0, 14])
    }

    @Test("Unknown keysets are 12001, expired ones 12003, for inputs and outputs")
    func unknownAndExpired() async throws {
        let expiry = UInt64(MintFixture.start.secondsSince1970 + 100)
        let fixture = try await MintFixture(MintConfiguration(units: [.init(unit: .sat, finalExpiry: expiry)]))
        var proofs = try await fixture.issue([4])
        let unknown = try KeysetID(bytes: [1] + [UInt8](repeating: 7, count: 32))
        #expect(
            await code { try await fixture.swap(proofs, into: fixture.secrets([4], of: unknown)) } == .keysetUnknown
        )
        proofs[0].keysetID = unknown
        #expect(await code { try await fixture.swap(proofs, into: fixture.secrets([4])) } == .keysetUnknown)
        let good = try await fixture.issue([4])
        let keyset = try fixture.keyset().id
        fixture.time.advance(seconds: 100)
        #expect(await code { try await fixture.swap(good, into: fixture.secrets([4], of: keyset)) } == .keysetExpired)
    }

    @Test("Units do not mix: 11009 within a side, 11010 between them, 11013 for one the mint does not have")
    func units() async throws {
        let fixture = try await MintFixture(MintConfiguration(units: [.init(unit: .sat), .init(unit: .msat)]))
        let sat = try await fixture.issue([4])
        let msat = try await fixture.issue([4], unit: .msat)
        let msatKeyset = try fixture.keyset(.msat).id
        #expect(await code { try await fixture.swap(sat + msat, into: fixture.secrets([8])) } == .multipleUnits)
        let mixed = try fixture.secrets([2]) + fixture.secrets([2], of: msatKeyset)
        #expect(await code { try await fixture.swap(sat, into: mixed) } == .multipleUnits)
        #expect(await code { try await fixture.swap(sat, into: fixture.secrets([4], of: msatKeyset)) } == .unitMismatch)
        let request = MintQuoteRequest(amount: 5, unit: .usd)
        #expect(await code { try await fixture.mint.requestMintQuote(request) } == .unitNotSupported)
        try await fixture.requireSound()
    }

    @Test("A configuration that cannot work is refused with a sentence")
    func configurations() async throws {
        let wrong: [MintConfiguration] = [
            MintConfiguration(units: []),
            MintConfiguration(units: [.init(unit: .sat), .init(unit: .sat)]),
            MintConfiguration(units: [.init(unit: .sat, inputFeePPK: 1_000_001)]),
            MintConfiguration(units: [.init(unit: .sat, minimumAmount: 0)]),
            MintConfiguration(units: [.init(unit: .sat, maximumAmount: 1 << 62)]),
            MintConfiguration(limits: .init(inputs: 0)),
            MintConfiguration(limits: .init(outputs: 1001)),
            MintConfiguration(quoteLifetimeSeconds: 0),
        ]
        for configuration in wrong {
            await #expect(throws: MintSetupError.self) { _ = try await MintFixture(configuration) }
        }
    }

    @Test("The info tells what is on and the limits that are enforced, and test money says so")
    func info() async throws {
        let fixture = try await MintFixture(
            MintConfiguration(name: "A mint", units: [.init(unit: .sat, minimumAmount: 2, maximumAmount: 500)])
        )
        let info = try fixture.mint.info
        let read = try MintInfo(json: .parse(info.json.serialized()))
        #expect(read.name == "A mint")
        #expect([7, 8, 9, 10, 11, 12, 14, 20].allSatisfy(read.supports))
        #expect([15, 17].allSatisfy { !read.supports($0) })
        #expect(read.mintMethods.map(\.maximumAmount) == [500])
        #expect(read.meltMethods.map(\.minimumAmount) == [2])
        #expect(read.maximumArrayLength == 1000)
        #expect(read.time == UInt64(MintFixture.start.secondsSince1970))
        #expect(read.messageOfTheDay?.contains("TEST MONEY") == true)
        for amount in [UInt64(1), 501] {
            let request = MintQuoteRequest(amount: amount, unit: .sat)
            #expect(await code { try await fixture.mint.requestMintQuote(request) } == .amountOutsideLimits)
        }
    }
}
