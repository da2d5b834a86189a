internal import CanonicalJSON
internal import Encodings
internal import Foundation
public import Lightning

/// Core Lightning 24.11 or later, through its REST plugin (`clnrest`) and a rune.
///
/// The rune needs the methods `getinfo`, `listfunds`, `invoice`, `listinvoices`, `waitanyinvoice`, `xpay` and `listpays`.
public struct CoreLightningBackend: NodeBackend {
    let connection: NodeConnection
    let book = PaymentBook()
    private let identity = Remembered<[UInt8]>()

    /// How long `xpay` tries one route after another; after twice that, nothing more of a call can start.
    private static let retrySeconds: Int64 = 60

    /// - Parameter access: its secret is the rune.
    public init(_ access: NodeAccess) {
        connection = NodeConnection("Core Lightning", access, headers: [("Rune", access.secret)])
    }

    public var abilities: LightningAbilities { LightningAbilities(paysParts: true, takesOpenInvoices: true) }

    public func checkNetwork() async throws(LightningError) { _ = try await nodeID() }

    public func nodeID() async throws(LightningError) -> [UInt8] {
        try await identity.value { () async throws(LightningError) in
            let info = try await question("getinfo")
            let (key, name) = try connection.read {
                (try Hex.decode(try info.string("id")), try info.string("network"))
            }
            try requireNetwork(name)
            return key
        }
    }

    /// What the usable channels hold on this side; pending payments are not in it.
    public func balanceMsat() async throws(LightningError) -> UInt64 {
        let json = try await question("listfunds")
        return try connection.read {
            var sum: UInt64 = 0
            for channel in try json.array("channels") where channel["state"]?.stringValue == "CHANNELD_NORMAL" {
                let (next, overflow) = sum.addingReportingOverflow(
                    try Self.msat(channel.requireObject(), "our_amount_msat")
                )
                guard !overflow else { throw LightningError(.invalidAnswer, "the channels hold more than there is") }
                sum = next
            }
            return sum
        }
    }

    // MARK: Receiving

    public func createInvoice(
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt32
    ) async throws(LightningError) -> BOLT11Invoice {
        _ = try await nodeID()
        return try await newInvoice(amountMsat: amountMsat, description: description, expirySeconds: expirySeconds) {
            text throws(LightningError) in
            let body: JSONObject = [
                "amount_msat": amountMsat.map { JSONValue($0) } ?? "any",
                "label": .string("mintmark-\(UUID().uuidString)"),
                "description": .string(text), "expiry": .integer(Int64(expirySeconds)),
            ]
            let json = try object(try await connection.ask(.post("/v1/invoice", body)))
            return try connection.read { try json.string("bolt11") }
        }
    }

    public func invoiceStatus(paymentHash: [UInt8]) async throws(LightningError) -> InvoiceStatus {
        let json = try await question("listinvoices", ["payment_hash": .string(Hex.encode(paymentHash))])
        let found = try connection.read { () throws -> (status: InvoiceStatus?, expiresAt: Timestamp)? in
            guard let invoice = try json.array("invoices").first?.requireObject() else { return nil }
            guard try Hex.decode(try invoice.string("payment_hash")) == paymentHash else {
                throw LightningError(.invalidAnswer, "Core Lightning answered with another invoice")
            }
            let expiresAt = Timestamp(secondsSince1970: Int64(clamping: try invoice.uint64("expires_at")))
            guard try invoice.string("status") == "paid" else { return (nil, expiresAt) }
            let paidAt = Timestamp(secondsSince1970: Int64(clamping: try invoice.uint64("paid_at")))
            return (.paid(amountMsat: try Self.msat(invoice, "amount_received_msat"), at: paidAt), expiresAt)
        }
        guard let found else { throw invoiceNotFound() }
        return found.status ?? unpaidStatus(expiresAt: found.expiresAt)
    }

    /// `waitanyinvoice`, one call for each invoice, from the last one there was at the start.
    public func settledInvoices() -> AsyncStream<[UInt8]> {
        SettledFeed.stream(connection, from: UInt64?.none) { [self] place, tell in
            var index: UInt64
            if let known = place.value { index = known } else { index = try await lastPayIndex() }
            place.value = index
            while true {
                guard let invoice = try await nextPaid(after: index, waitSeconds: 60) else { continue }
                index = max(index, try invoice.uint64("pay_index"))
                place.value = index
                tell(try Hex.decode(try invoice.string("payment_hash")))
            }
        }
    }

    /// The invoice paid next after the one with this index; nil where none was in time.
    private func nextPaid(after index: UInt64, waitSeconds: Int64) async throws(LightningError) -> JSONObject? {
        let body: JSONObject = ["lastpay_index": JSONValue(index), "timeout": .integer(waitSeconds)]
        let reply = try await connection.exchange(
            .post("/v1/waitanyinvoice", body),
            timeoutMilliseconds: waitSeconds * 1000 + connection.access.timeoutMilliseconds
        )
        switch reply {
        case .unknown(let error): throw error
        case .answered(let answer):
            if !answer.isSuccess, Self.code(answer) == ErrorCode.waitTimedOut { return nil }
            return try object(answer)
        }
    }

    /// The index of the invoice paid last: by doubling and halving, as no call tells it and reading all would be long.
    private func lastPayIndex() async throws(LightningError) -> UInt64 {
        var below: UInt64 = 0
        var step: UInt64 = 1
        while try await nextPaid(after: below, waitSeconds: 0) != nil {
            guard below < 1 << 40 else { break }
            below += step
            step *= 2
        }
        // Something was paid after `above`'s predecessor, nothing after `below`.
        var above = below
        var least = below - min(step / 2, below)
        while least < above {
            let middle = least + (above - least) / 2
            if try await nextPaid(after: middle, waitSeconds: 0) != nil { least = middle + 1 } else { above = middle }
        }
        return above
    }

    // MARK: Paying

    func isOwn(_ invoice: BOLT11Invoice) async throws(LightningError) -> Bool {
        invoice.payeeNodeID == (try await nodeID())
    }

    func record(of hash: [UInt8]) async throws(LightningError) -> PaymentRecord {
        let json = try await question("listpays", ["payment_hash": .string(Hex.encode(hash))])
        let now = clock.now()
        return try connection.read {
            let pays = try json.array("pays").map { try $0.requireObject() }
            if let paid = pays.first(where: { $0["status"]?.stringValue == "complete" }) {
                let sent = try Self.msat(paid, "amount_sent_msat")
                let delivered = paid["amount_msat"] == nil ? sent : try Self.msat(paid, "amount_msat")
                return .settled(
                    preimage: try Hex.decode(try paid.string("preimage")),
                    feeMsat: sent >= delivered ? sent - delivered : 0
                )
            }
            guard !pays.isEmpty else { return .none }
            guard pays.allSatisfy({ $0["status"]?.stringValue == "failed" }) else { return .pending }
            // While a call of an earlier process still tries its routes, one that failed says nothing of the next.
            let latest = try pays.map { try $0.uint64("created_at") }.max() ?? 0
            let quietSeconds = now.secondsSince1970 - Int64(clamping: latest)
            guard quietSeconds > 2 * Self.retrySeconds || wasEndedHere(hash) else { return .pending }
            return .failed(PaymentFailure(.rejected, "Core Lightning gave the payment up"))
        }
    }

    /// Whether this process was told by `xpay` itself that it gave up, or is about to send anew.
    private func wasEndedHere(_ hash: [UInt8]) -> Bool { book.failure(hash) != nil }

    func send(
        _ invoice: BOLT11Invoice,
        part: UInt64?,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> SendResult {
        var body: JSONObject = [
            "invstring": .string(invoice.text), "maxfee": JSONValue(maximumFeeMsat),
            "retry_for": .integer(Self.retrySeconds),
        ]
        body[(invoice.amountMsat ?? 0) == 0 ? "amount_msat" : "partial_msat"] = part.map { JSONValue($0) }
        let reply = try await connection.exchange(
            .post("/v1/xpay", body),
            timeoutMilliseconds: connection.access.paymentTimeoutMilliseconds
        )
        guard case .answered(let answer) = reply else { return .unknown }
        if answer.isSuccess, answer.json != nil { return .answered(Self.failure(0, "")) }
        if [401, 403, 404].contains(answer.status) {
            return .refused(connection.refusal(answer, Self.message(answer)))
        }
        guard let code = Self.code(answer) else { return .unknown }
        var failure = Self.failure(code, Self.message(answer))
        // For too little money it finds no route.
        let amountMsat = part ?? invoice.amountMsat ?? 0
        if failure.code == .noRoute, let balance = try? await balanceMsat(), balance < amountMsat {
            failure = PaymentFailure(.insufficientBalance, "Core Lightning's channels hold less than the payment needs")
        }
        // The call has ended: from here on the record's "failed" is the last word.
        book.remember(failure, of: invoice.paymentHash)
        return .answered(failure)
    }

    // MARK: The wire

    /// Core Lightning's `common/jsonrpc_errors.h`.
    private enum ErrorCode {
        static let destinationFailed: Int64 = 203
        static let noRoute: Int64 = 205
        static let tooExpensive: Int64 = 206
        static let expired: Int64 = 207
        static let insufficientFunds: Int64 = 215
        static let waitTimedOut: Int64 = 904
    }

    private static func failure(_ code: Int64, _ message: String) -> PaymentFailure {
        switch code {
        case ErrorCode.destinationFailed:
            return PaymentFailure(.unknownInvoice, "the payee turned the payment down: \(message)")
        case ErrorCode.insufficientFunds:
            return PaymentFailure(.insufficientBalance, "Core Lightning's channels do not hold enough: \(message)")
        case ErrorCode.noRoute:
            return PaymentFailure(.noRoute, "Core Lightning found no route: \(message)")
        case ErrorCode.tooExpensive:
            return PaymentFailure(.feeTooHigh, "every route costs more than the fee limit: \(message)")
        case ErrorCode.expired:
            return PaymentFailure(.expired, "Core Lightning says that the invoice has expired")
        default:
            return PaymentFailure(.rejected, "Core Lightning gave the payment up: \(message)")
        }
    }

    private static func code(_ answer: NodeAnswer) -> Int64? { answer.json?["code"]?.int64Value }

    private static func message(_ answer: NodeAnswer) -> String {
        String((answer.json?["message"]?.stringValue ?? answer.text).prefix(300))
    }

    private func question(_ method: String, _ parameters: JSONObject = [:]) async throws(LightningError) -> JSONObject {
        try object(try await connection.ask(.post("/v1/\(method)", parameters)))
    }

    private func object(_ answer: NodeAnswer) throws(LightningError) -> JSONObject {
        guard answer.isSuccess else { throw connection.refusal(answer, Self.message(answer)) }
        return try connection.object(answer)
    }

    /// An amount, as a number, or as older versions wrote it: `"1000msat"`.
    private static func msat(_ object: JSONObject, _ name: String) throws(JSONError) -> UInt64 {
        if let text = object[name]?.stringValue, text.hasSuffix("msat"), let number = UInt64(text.dropLast(4)) {
            return number
        }
        return try object.uint64(name)
    }
}
