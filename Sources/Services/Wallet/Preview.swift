public import Cashu
internal import Encodings
internal import Lightning
internal import Paywall
internal import Storage

/// What a call would cost and how it would be paid, found out without paying.
public struct PaymentPreview: Sendable {
    /// One way in which the seller can be paid.
    public struct Offer: Sendable {
        public var way: PaymentWay
        /// What it costs in the call's unit, without fees; nil where that cannot be told.
        public var cost: UInt64?
        /// As the seller says it: of ecash in its unit, of Lightning in msat, of a token in its smallest unit.
        public var amount: String?
        /// The unit, `msat`, or a token's contract.
        public var asset: String?
        public var network: String?
        public var mints: [String]
        public var payTo: String?
        /// Why it cannot be paid now; nil where it can.
        public var obstacle: WalletError?
        /// Whether it would be chosen.
        public var isPicked = false
    }

    /// The status of the answer to the call without a payment; nil where a pass would be used, as then nothing was sent.
    public var status: Int?
    /// In which the costs are.
    public var unit: CurrencyUnit
    /// The pass, bought before, that the call would be made with.
    public var pass: String?
    /// Every offer that the answer holds, in its order; at most ``maximumOffers``.
    public var offers: [Offer]

    public static let maximumOffers = 200
    public var picked: Offer? { offers.first { $0.isPicked } }
}

extension Buyer {
    /// Makes a call without paying for it and says what paying would mean. No money moves and nothing is signed; where the call
    /// is free, it has been made.
    /// - Throws: `serviceUnreachable`; `invalidArgument`.
    public func preview(_ request: PaidRequest) async throws -> PaymentPreview {
        let call = try Call(request, configuration: configuration)
        let now = wallet.clock.now()
        if let pass = try await usablePass(for: call, at: now) {
            return PaymentPreview(status: nil, unit: request.unit, pass: pass, offers: [])
        }
        let answer: Answer
        do {
            answer = try await send(call, payment: nil)
        } catch let error as SendFailure {
            throw WalletError(
                .serviceUnreachable,
                "\(call.address.origin) gave no answer: \(error.message)",
                cause: error
            )
        }
        var preview = PaymentPreview(status: answer.status, unit: request.unit, pass: nil, offers: [])
        guard answer.status == 402 else { return preview }
        let found = PaymentOffers(answer, for: call, configuration: configuration, at: now)
        for entry in found.entries {
            preview.offers.append(try await shown(entry, for: call, at: now))
        }
        for description in found.unwanted {
            let why = WalletError(.challengeUnusable, "the call is to be paid via \(request.via?.rawValue ?? "") only")
            preview.offers.append(PaymentPreview.Offer(description, cost: nil, obstacle: why))
        }
        preview.offers = Array(preview.offers.prefix(PaymentPreview.maximumOffers))
        // As `pay` does: the cheapest, of those that cost the same the first.
        let payable = preview.offers.indices.filter { preview.offers[$0].obstacle == nil }
        if let best = payable.min(by: { (preview.offers[$0].cost ?? .max, $0) < (preview.offers[$1].cost ?? .max, $1) })
        {
            preview.offers[best].isPicked = true
        }
        return preview
    }

    private func shown(_ entry: PaymentOffers.Entry, for call: Call, at now: Timestamp) async throws
        -> PaymentPreview.Offer
    {
        switch entry.offer {
        case .failure(let error):
            return PaymentPreview.Offer(entry.description, cost: nil, obstacle: error)
        case .success(let offer):
            let cost = offer.cost(in: call.request.unit, rates: configuration.rates)
            var obstacle: WalletError?
            do {
                try await requirePayable(offer, for: call, at: now)
            } catch let error as WalletError {
                obstacle = error
            }
            return PaymentPreview.Offer(entry.description, cost: cost, obstacle: obstacle)
        }
    }

    /// The pass that a call would be made with.
    private func usablePass(for call: Call, at now: Timestamp) async throws -> String? {
        guard !call.passWays.isEmpty, !call.hasAuthorization else { return nil }
        // The store sets aside those that are over, which is no payment.
        return try await wallet.database.write { connection in
            try InvoiceStore.pass(for: call, at: now, in: connection)?.id
        }
    }

    /// What `pay` would find in the way of an offer, as far as it shows without asking anybody but the chain.
    /// - Throws: `WalletError` as paying would.
    private func requirePayable(_ offer: PaymentOffer, for call: Call, at now: Timestamp) async throws {
        try await requireNoneOpen(call)
        switch offer {
        case .ecash(let ecash):
            try Self.requireAllowed(ecash.terms, for: call.request)
            try await requireCoins(ecash.terms, at: now)
            try await requireRoom(call, amount: ecash.terms.amount, key: ecash.terms.seller, at: now)
        case .invoice(let invoice):
            if invoice.session != nil { try requireReturn() }
            try await requirePayable(invoice, for: invoice.session == nil ? call : call.depositing, at: now)
        case .authorization(let authorization):
            let cost = try requireAllowed(authorization, for: call)
            let balance = try await balance(for: authorization)
            try await wallet.database.read { try self.requireFunds(authorization, balance, in: $0) }
            try await requireRoom(call, amount: cost, key: nil, at: now)
        }
    }

    private func requireRoom(_ call: Call, amount: UInt64, key: [UInt8]?, at now: Timestamp) async throws {
        try await wallet.database.read { connection in
            try Self.requireRoom(call, amount: amount, fee: 0, at: now, in: connection)
            guard let key else { return }
            let spend = Spend(key: key, unit: call.request.unit, amount: amount, at: now)
            try SpendingLimits.requireRoom(for: spend, in: connection)
        }
    }

    private func requireCoins(_ terms: PaymentTerms, at now: Timestamp) async throws {
        let held = try await wallet.mints()
        let usable = terms.mints.filter { held.contains($0) }
        guard !usable.isEmpty else {
            let names = terms.mints.prefix(3).map(\.string).joined(separator: ", ")
            throw WalletError(.mintUnknown, "the seller takes ecash of \(names); this wallet has none of these mints")
        }
        let minimumLocktime = now.secondsSince1970 + configuration.minimumLockSeconds
        let most = try await wallet.database.read { connection -> UInt64 in
            try usable.map { mint -> UInt64 in
                var coins = try CoinStore.available(mint: mint, unit: terms.unit, at: now, in: connection)
                if let seller = terms.seller {
                    coins += try CoinStore.pool(
                        seller: seller,
                        mint: mint,
                        unit: terms.unit,
                        minimumLocktime: minimumLocktime,
                        in: connection
                    )
                }
                return try Amounts.sum(coins.map(\.amount))
            }.max() ?? 0
        }
        guard most >= terms.amount else {
            throw WalletError(
                .insufficientFunds,
                "the call costs \(terms.amount) \(terms.unit), and the wallet holds \(most) at a mint that the seller takes"
            )
        }
    }

    private func requirePayable(_ offer: InvoiceOffer, for call: Call, at now: Timestamp) async throws {
        let asked = try requireAllowed(offer, for: call.request)
        try await wallet.database.read { connection in
            try InvoiceStore.requireNew(offer.invoice.paymentHash, in: connection)
        }
        try await requireRoom(call, amount: asked, key: nil, at: now)
        guard wallet.lightning == nil else { return }
        let unit = call.request.unit
        for mint in try await wallet.knownMints() where mint.isTrusted {
            let there = try await wallet.database.read { connection in
                try Amounts.sum(CoinStore.available(mint: mint.url, unit: unit, at: now, in: connection).map(\.amount))
            }
            if there >= asked { return }
        }
        throw WalletError(
            .insufficientFunds,
            "no trusted mint of this wallet holds \(asked) \(unit) to pay the seller's invoice with"
        )
    }
}

extension PaymentPreview.Offer {
    init(_ description: OfferDescription, cost: UInt64?, obstacle: WalletError?) {
        way = description.way
        self.cost = cost
        amount = description.amount
        asset = description.asset
        network = description.network
        mints = description.mints
        payTo = description.payTo
        self.obstacle = obstacle
    }
}
