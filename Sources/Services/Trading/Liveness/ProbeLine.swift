internal import AsyncHTTPClient
internal import Encodings
public import Market
internal import NIOCore
public import Wallet
package import WebClient

/// Asks what a listed service costs, as this node's buyer asks first ([LIV-1]), of addresses alone that may be asked ([LIV-10]).
public struct ProbeLine: Sendable {
    public static let timeoutMilliseconds: Int64 = 10_000

    private let buyer: Buyer
    private let allowsLocal: Bool
    private let pin: HostPin
    private let timeout: Int64

    /// - Parameter allowsLocal: whether this machine and its network may be asked ([LST-5]).
    public init(buyer: Buyer, allowsLocal: Bool) {
        self.init(buyer: buyer, allowsLocal: allowsLocal, lookUp: nil)
    }

    package init(
        buyer: Buyer,
        allowsLocal: Bool,
        lookUp: HostPin.LookUp?,
        timeoutMilliseconds: Int64 = ProbeLine.timeoutMilliseconds
    ) {
        self.buyer = buyer
        self.allowsLocal = allowsLocal
        pin = HostPin(lookUp: lookUp)
        timeout = timeoutMilliseconds
    }

    /// - Returns: what came of it, and after how many milliseconds; nil where nothing came.
    public func ask(_ target: ProbeTarget) async -> (answer: ProbeAnswer, milliseconds: Int64?) {
        do {
            let asked = try await ask(target, within: timeout)
            let price: ((amount: UInt64, unit: String)) -> ProbeAnswer.Price = { .init($0.amount, $0.unit) }
            let terms = ProbeAnswer.Terms(
                offers: asked.offers,
                asked: asked.asked.map(price),
                said: asked.said.map(price)
            )
            return (.status(asked.status, terms), asked.milliseconds)
        } catch HostPin.Failure.forbidden {
            return (.forbidden, nil)
        } catch UnaskedPrice.timeout {
            return (.timeout, nil)
        } catch let error as HTTPClientError where error == .deadlineExceeded {
            return (.timeout, nil)
        } catch {
            return (.unreachable, nil)
        }
    }

    private func ask(_ target: ProbeTarget, within milliseconds: Int64) async throws -> AskedPrice {
        let start = NIODeadline.now()
        return try await connected(to: target) { client in
            let left = milliseconds - (NIODeadline.now() - start).nanoseconds / 1_000_000
            return try await buyer.ask(
                PaidRequest(method: target.method, url: target.url, maximum: 0),
                over: client,
                timeoutMilliseconds: max(1, left)
            )
        }
    }

    /// Over a client that reaches one checked address alone, and is closed after it: what still comes of a body is not waited for.
    /// - Throws: `HostPin.Failure`; what `work` throws.
    func connected<Result: Sendable>(
        to target: ProbeTarget,
        _ work: (HTTPClient) async throws -> Result
    ) async throws -> Result {
        guard allowsLocal || target.base.reach == .internet else { throw HostPin.Failure.forbidden }
        let (host, port) = target.base.place
        let override = try await TimeLimit.within(milliseconds: timeout) { [pin, allowsLocal] _ in
            try await pin.override(host, port: port) { allowsLocal || Self.isGlobal($0) }
        }
        var configuration = HTTPMint.clientConfiguration
        configuration.dnsOverride = override
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        do {
            let result = try await work(client)
            try? await client.shutdown()
            return result
        } catch {
            try? await client.shutdown()
            throw error
        }
    }

    private static func isGlobal(_ address: String) -> Bool {
        let bytes = IPAddressText.bytes4(address) ?? IPAddressText.bytes6(address)
        return bytes.flatMap { IPReach($0) } == .internet
    }
}
