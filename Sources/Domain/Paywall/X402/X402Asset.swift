internal import CanonicalJSON
public import Ethereum

extension X402 {
    /// A token that calls are sold for over `exact`, and what it is worth in the units that prices are written in ([XEX-2]).
    public struct Asset: Sendable, Equatable {
        /// How the books and receipts name the token's smallest unit, such as `usdc`: 1 to 16 of `a–z 0–9 _ -`.
        public let unit: String
        public let token: AuthorizedToken
        /// How many of the token's smallest units stand for one of a price's unit, such as `usd` (a cent) → 10000.
        public let worths: [String: UInt64]

        /// - Throws: ``PriceError`` `bad-rate`.
        public init(unit: String, token: AuthorizedToken, worths: [String: UInt64]) throws(PriceError) {
            guard (1...16).contains(unit.utf8.count), unit.utf8.allSatisfy(Self.isUnitByte) else {
                throw PriceError(.badRate, "A token's name in the books is 1 to 16 of a-z, 0-9, _ and -, such as usdc.")
            }
            guard !worths.isEmpty, worths.values.allSatisfy({ (1...Price.maximumAmount).contains($0) }) else {
                throw PriceError(
                    .badRate,
                    "\(unit) needs what it is worth, such as usd=10000 of its smallest units a cent."
                )
            }
            self.unit = unit
            self.token = token
            self.worths = worths
        }

        /// Reads `usdc:0x036C…:USDC:2:usd=10000`: a name, the contract, the token's name and version as it signs them (EIP-712), and
        /// one worth or several.
        /// - Throws: ``PriceError`` `bad-rate`.
        public init(_ text: String, chainID: UInt256) throws(PriceError) {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            guard parts.count >= 5, !parts[2].isEmpty, !parts[3].isEmpty, text.utf8.count <= 512,
                text.utf8.allSatisfy({ (0x20...0x7e).contains($0) })
            else {
                throw PriceError(
                    .badRate,
                    "\(text.prefix(80)) must be a name, a contract, the token's own name and version, and its worth, such as"
                        + " usdc:0x036CbD53842c5426634e7929541eC2318f3dCF7e:USDC:2:usd=10000."
                )
            }
            guard let contract = try? Address(parts[1]) else {
                throw PriceError(.badRate, "\(parts[1].prefix(64)) is no address of a token's contract.")
            }
            var worths: [String: UInt64] = [:]
            for worth in parts[4...] {
                let sides = worth.split(separator: "=", omittingEmptySubsequences: false)
                guard sides.count == 2, (1...16).contains(sides[0].utf8.count), !sides[1].isEmpty,
                    sides[1].utf8.allSatisfy({ (48...57).contains($0) }), let count = UInt64(sides[1]),
                    worths.updateValue(count, forKey: String(sides[0])) == nil
                else {
                    throw PriceError(
                        .badRate,
                        "\(worth.prefix(64)) must be a unit and how many of the token's, such as usd=10000."
                    )
                }
            }
            let token = AuthorizedToken(contract: contract, chainID: chainID, name: parts[2], version: parts[3])
            try self.init(unit: parts[0], token: token, worths: worths)
        }

        private static func isUnitByte(_ byte: UInt8) -> Bool {
            (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5F || byte == 0x2D
        }

        /// What a price comes to in the token's smallest unit, rounded up once: a seller never takes less than it asked ([XEX-2]).
        /// - Parameter rates: between the price's unit and one that the token's worth is told in.
        /// - Throws: ``PriceError`` `bad-rate` without a way from one to the other, `bad-amount` above ``Price/maximumAmount``.
        public func amount(of price: Price, rates: PriceRates) throws(PriceError) -> UInt64 {
            if let worth = worths[price.unit] {
                let (amount, overflow) = price.amount.multipliedReportingOverflow(by: worth)
                guard !overflow, amount <= Price.maximumAmount else { throw tooMuch(price) }
                return amount
            }
            for (unit, worth) in worths.sorted(by: { $0.key < $1.key }) {
                guard let rate = try? rates.msat(Price(amount: 1, unit: unit)) else { continue }
                let product = try rates.msat(price).multipliedFullWidth(by: worth)
                guard product.high < rate else { throw tooMuch(price) }
                let (quotient, remainder) = rate.dividingFullWidth(product)
                guard quotient < Price.maximumAmount else { throw tooMuch(price) }
                return quotient + (remainder == 0 ? 0 : 1)
            }
            throw PriceError(
                .badRate,
                "There is no rate between \(price.unit) and \(unit): say what \(unit) is worth in it, or set a rate."
            )
        }

        private func tooMuch(_ price: Price) -> PriceError {
            PriceError(.badAmount, "\(price) is more than can be asked for in \(unit).")
        }

        /// The way to pay with it ([XEX-1]).
        /// - Returns: nil where version 1 has no word for the chain.
        public func requirements(
            _ version: Version,
            amount: UInt64,
            payTo: Address,
            maxTimeoutSeconds: Int64,
            details: Requirements.Details? = nil
        ) -> Requirements? {
            guard let network = Network.name(chainID: token.chainID, version: version) else { return nil }
            return Requirements(
                scheme: ExactEVM.scheme,
                network: network,
                amount: UInt256(amount),
                asset: token.contract.description,
                payTo: payTo.description,
                maxTimeoutSeconds: maxTimeoutSeconds,
                extra: ["name": .string(token.name), "version": .string(token.version)],
                details: version == .v1 ? details : nil
            )
        }
    }
}
