public import Cashu
public import Ethereum
internal import Paywall

/// A token on an EVM chain that the operator lets the wallet pay with: where its contract stands, and what one of it is worth.
/// Nothing that a seller says of a token's decimals or worth is believed.
public struct EVMAsset: Hashable, Sendable, CustomStringConvertible {
    public var chainID: UInt256
    public var contract: Address
    /// One whole token is one whole of this currency: a dollar for `usd`, a bitcoin for `sat`.
    public var unit: CurrencyUnit
    /// Decimals of the token: its smallest unit is 10^-decimals of a whole one. 0 to 18.
    public var decimals: Int

    /// How many decimals a whole of a currency has in its unit of ecash: a dollar has 100 `usd`, which are cents (NUT-01).
    private static let unitDecimals: [String: Int] = [
        "sat": 8, "msat": 11, "usd": 2, "eur": 2, "gbp": 2, "chf": 2, "cad": 2, "aud": 2, "sgd": 2, "jpy": 0, "krw": 0,
    ]

    /// - Throws: `invalidArgument` for a unit whose whole is not known here, or decimals beyond 18.
    public init(chainID: UInt256, contract: Address, unit: CurrencyUnit, decimals: Int) throws(WalletError) {
        guard Self.unitDecimals[unit.name] != nil else {
            let known = Self.unitDecimals.keys.sorted().joined(separator: ", ")
            throw WalletError(.invalidArgument, "the unit of a token is one of \(known), not \(unit.name.prefix(32))")
        }
        guard (0...18).contains(decimals) else {
            throw WalletError(.invalidArgument, "a token has 0 to 18 decimals, not \(decimals)")
        }
        self.chainID = chainID
        self.contract = contract
        self.unit = unit
        self.decimals = decimals
    }

    /// Reads `eip155:8453/0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913=usd:6`: chain, contract, unit and decimals.
    /// - Throws: `invalidArgument`.
    public init(_ text: String) throws(WalletError) {
        let sides = text.split(separator: "=", omittingEmptySubsequences: false)
        let place = (sides.first ?? "").split(separator: "/", omittingEmptySubsequences: false)
        let worth = (sides.last ?? "").split(separator: ":", omittingEmptySubsequences: false)
        guard sides.count == 2, place.count == 2, worth.count == 2,
            let chainID = X402.Network.chainID(of: String(place[0]), version: .v2), let decimals = Int(worth[1]),
            let unit = try? CurrencyUnit(String(worth[0]))
        else {
            throw WalletError(
                .invalidArgument,
                "\(text.prefix(120)) is no token: write eip155:<chain>/<contract>=<unit>:<decimals>, such as"
                    + " eip155:8453/0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913=usd:6"
            )
        }
        let contract: Address
        do {
            contract = try Address(String(place[1]))
        } catch {
            throw WalletError(
                .invalidArgument,
                "\(place[1].prefix(60)) is no contract's address: \(error)",
                cause: error
            )
        }
        try self.init(chainID: chainID, contract: contract, unit: unit, decimals: decimals)
    }

    /// As CAIP-2 names the chain.
    public var network: String { "eip155:\(chainID)" }
    public var description: String { "\(network)/\(contract)=\(unit):\(decimals)" }

    /// What an amount costs in a unit, rounded up to a whole one.
    /// - Parameter value: in the token's smallest unit.
    /// - Throws: `challengeUnusable` without a rate between the units, `limitExceeded` beyond what can be counted.
    func cost(of value: UInt256, in wanted: CurrencyUnit, rates: PriceRates) throws(WalletError) -> UInt64 {
        let shift = decimals - (Self.unitDecimals[unit.name] ?? 0)
        do {
            var amount = value
            if shift < 0 { amount = try amount.multiplied(by: Self.power(-shift)) }
            if wanted != unit { amount = try amount.multiplied(by: rates.msat(Price(amount: 1, unit: unit.name))) }
            if shift > 0 { amount = try Self.roundedUp(amount, by: Self.power(shift)) }
            if wanted != unit {
                amount = try Self.roundedUp(amount, by: rates.msat(Price(amount: 1, unit: wanted.name)))
            }
            guard let cost = amount.uint64Value, cost <= UInt64(Int64.max) else { throw Self.tooMuch(value) }
            return cost
        } catch let error as PriceError {
            throw WalletError(
                .challengeUnusable,
                "the seller wants \(unit), the call may be paid in \(wanted), and there is no rate between them: set"
                    + " wallet.rates (\(error.message))",
                cause: error
            )
        } catch {
            throw Self.tooMuch(value)
        }
    }

    private static func tooMuch(_ value: UInt256) -> WalletError {
        WalletError(.limitExceeded, "the seller asks for \(value) of a token's smallest unit, more than can be counted")
    }

    private static func roundedUp(_ amount: UInt256, by divisor: UInt64) throws -> UInt256 {
        try amount.adding(UInt256(divisor - 1)).divided(by: divisor)
    }

    private static func power(_ exponent: Int) -> UInt64 { (0..<exponent).reduce(UInt64(1)) { power, _ in power * 10 } }
}

/// An EVM chain, as far as a payer asks it. Without one, payments are made all the same; what became of those that no seller
/// answers for then stays unknown.
public protocol TokenChain: Sendable {
    var chainID: UInt256 { get }
    /// What an account holds of a token, in the token's smallest unit.
    func balance(of holder: Address, token: Address) async throws -> UInt256
    /// Whether an authorisation was used, as of a block, and when that block was made, in seconds since 1970. Once a block is
    /// later than an authorisation's end, what was not used never will be.
    /// - Parameter nonce: 32 bytes.
    func authorization(_ nonce: [UInt8], of payer: Address, token: Address) async throws -> AuthorizationState
}

/// What a chain says of an authorisation (EIP-3009).
public struct AuthorizationState: Sendable, Equatable {
    public var isUsed: Bool
    /// Of a block that is not later than the one that `isUsed` was read at, in seconds since 1970.
    public var blockSeconds: UInt64

    public init(isUsed: Bool, blockSeconds: UInt64) {
        self.isUsed = isUsed
        self.blockSeconds = blockSeconds
    }
}
