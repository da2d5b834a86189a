import AsyncHTTPClient
import Encodings
import Lightning
import Logging
import Testing

@testable import LightningBackends

/// The programs that have an adapter.
enum StandInProgram: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case lnd, coreLightning, lnbits, phoenixd

    var testDescription: String { rawValue }
    /// What its amounts are multiples of.
    var step: UInt64 { self == .lnbits || self == .phoenixd ? 1000 : 1 }
    /// The call that pays, for faults.
    var paying: String {
        switch self {
        case .lnd: "POST /v2/router/send"
        case .coreLightning: "POST /v1/xpay"
        case .lnbits: "POST /api/v1/payments"
        case .phoenixd: "POST /payinvoice"
        }
    }
    /// The call that tells how a payment stands.
    var tracking: String {
        switch self {
        case .lnd: "GET /v2/router/track"
        case .coreLightning: "POST /v1/listpays"
        // Followed by the hash.
        case .lnbits: "GET /api/v1/payments/"
        case .phoenixd: "GET /payments/outgoingbyhash"
        }
    }
    var secret: String {
        switch self {
        case .lnd: StandInLND.macaroon
        case .coreLightning: StandInCoreLightning.rune
        case .lnbits: StandInLNbits.key
        case .phoenixd: StandInPhoenixd.password
        }
    }
}

/// One stand-in, over a real socket, and the adapter to it.
struct StandInNode: Sendable {
    let program: StandInProgram
    let account: StandInAccount
    let server: StandInServer
    let backend: any LightningBackend
    let lnbits: StandInLNbits?
    /// Of its account at the simulated network.
    let token: String
}

/// A network of stand-ins; what they pay each other is held by the simulated network's ledger.
final class StandInWorld: Sendable {
    let network: SimulatedTestNetwork
    var clock: TestClock { network.clock }

    init(_ program: StandInProgram) throws {
        var terms = SimulatedNetwork.Terms()
        terms.faucetMsat = LightningConformance.startingBalanceMsat * program.step
        // phoenixd shows whole sat, so that a share of the amount could not be followed in its balance.
        terms.feeBaseMsat = program == .phoenixd ? 4_000 : 7
        terms.feePartsPerMillion = program == .phoenixd ? 0 : 100
        network = try SimulatedTestNetwork(terms: terms)
    }

    func node(
        _ program: StandInProgram,
        _ name: String,
        parts: StandInParts? = nil,
        isOldLNbits: Bool = false
    ) async throws -> StandInNode {
        let token = try await network.account(name)
        let account = StandInAccount(network.backend(token), clock: clock.wall)
        let lnbits = program == .lnbits ? StandInLNbits(account: account, isOld: isOldLNbits) : nil
        let server = try await StandInServer { request in
            switch program {
            case .lnd: await StandInLND(account: account, parts: parts).answer(request)
            case .coreLightning: await StandInCoreLightning(account: account, parts: parts).answer(request)
            case .phoenixd: await StandInPhoenixd(account: account).answer(request)
            case .lnbits: await lnbits?.answer(request) ?? .text(500, "")
            }
        }
        return StandInNode(
            program: program,
            account: account,
            server: server,
            backend: try backend(program, server.url),
            lnbits: lnbits,
            token: token
        )
    }

    /// Another adapter to the same stand-in, as after a restart of ours.
    func backend(
        _ program: StandInProgram,
        _ url: String,
        secret: String? = nil,
        network: LightningNetwork = .regtest,
        timeoutMilliseconds: Int64 = 30_000,
        paymentTimeoutMilliseconds: Int64 = 30_000
    ) throws -> any LightningBackend {
        let access = try NodeAccess(
            url: url,
            secret: secret ?? program.secret,
            network: network,
            httpClient: client,
            clock: clock.wall,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
            timeoutMilliseconds: timeoutMilliseconds,
            paymentTimeoutMilliseconds: paymentTimeoutMilliseconds
        )
        switch program {
        case .lnd: return try LNDBackend(access)
        case .coreLightning: return CoreLightningBackend(access)
        case .lnbits: return LNbitsBackend(access)
        case .phoenixd: return PhoenixdBackend(access)
        }
    }
}

/// Kept for the whole run, as a node keeps its own.
private let client: HTTPClient = {
    var configuration = SimulatedBackend.httpConfiguration
    configuration.httpVersion = .http1Only
    return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
}()
