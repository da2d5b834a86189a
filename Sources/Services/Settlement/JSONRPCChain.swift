public import AsyncHTTPClient
internal import CanonicalJSON
public import Ethereum
internal import NIOCore
internal import NIOHTTP1
internal import WebClient

/// A chain behind a node's JSON-RPC over HTTP (Ethereum JSON-RPC specification). Answers are bounded in size and time and read
/// strictly; the client is the owner's to shut down.
public struct JSONRPCChain: EVMChain {
    /// The longest answer, in bytes.
    public static let maximumAnswerBytes = 4 << 20
    private static let limits = JSONLimits(maximumBytes: maximumAnswerBytes, maximumDepth: 32, maximumValues: 200_000)

    public let chainID: UInt256
    private let url: String
    private let headers: HTTPHeaders
    private let client: HTTPClient
    private let timeoutMilliseconds: Int64

    /// - Parameters:
    ///   - url: `https://…`, or `http://` to a node of one's own; may hold an access key, so it is never logged.
    ///   - client: made with ``SettlementHTTP/configuration``, and shut down by its owner.
    ///   - timeoutMilliseconds: for one question, from its sending to the answer's last byte.
    /// - Throws: `invalidConfiguration`.
    public init(
        url: String,
        chainID: UInt256,
        client: HTTPClient,
        authorization: String? = nil,
        timeoutMilliseconds: Int64 = 10_000
    ) throws(SettlementError) {
        guard url.hasPrefix("http://") || url.hasPrefix("https://"), url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else {
            throw SettlementError(.invalidConfiguration, "the chain's address must begin with http:// or https://")
        }
        self.url = url
        self.chainID = chainID
        self.client = client
        self.timeoutMilliseconds = timeoutMilliseconds
        var headers: HTTPHeaders = ["Content-Type": "application/json", "Accept": "application/json"]
        if let authorization { headers.add(name: "Authorization", value: authorization) }
        self.headers = headers
    }

    public func checkChain() async throws(SettlementError) {
        let found = try await quantity("eth_chainId", [])
        guard found == chainID else {
            throw SettlementError(
                .wrongChain,
                "the node is on chain \(found), the configuration says \(chainID): correct one of them"
            )
        }
    }

    public func call(_ call: EVMCall) async throws(SettlementError) -> [UInt8] {
        try await bytes("eth_call", [Self.json(call), "latest"])
    }

    public func estimateGas(_ call: EVMCall) async throws(SettlementError) -> UInt64 {
        try await count("eth_estimateGas", [Self.json(call)])
    }

    public func code(at address: Address) async throws(SettlementError) -> [UInt8] {
        try await bytes("eth_getCode", [.string(address.description), "latest"])
    }

    public func balance(of address: Address) async throws(SettlementError) -> UInt256 {
        try await quantity("eth_getBalance", [.string(address.description), "latest"])
    }

    public func transactionCount(of address: Address, pending: Bool) async throws(SettlementError) -> UInt64 {
        try await count("eth_getTransactionCount", [.string(address.description), pending ? "pending" : "latest"])
    }

    public func fees() async throws(SettlementError) -> GasFees {
        let block = try await ask("eth_getBlockByNumber", ["latest", false])
        let baseFee = try read("eth_getBlockByNumber") { try UInt256(quantity: block.string("baseFeePerGas")) }
        return GasFees(baseFee: baseFee, tip: try await quantity("eth_maxPriorityFeePerGas", []))
    }

    public func blockNumber() async throws(SettlementError) -> UInt64 {
        try await count("eth_blockNumber", [])
    }

    /// When the latest block was made, in seconds since 1970.
    public func blockSeconds() async throws(SettlementError) -> UInt64 {
        let block = try await ask("eth_getBlockByNumber", ["latest", false])
        return try read("eth_getBlockByNumber") {
            guard let seconds = try UInt256(quantity: block.string("timestamp")).uint64Value else {
                throw JSONError(.value, "`timestamp` is beyond 64 bits")
            }
            return seconds
        }
    }

    public func send(_ raw: [UInt8]) async throws(SettlementError) {
        _ = try await bytes("eth_sendRawTransaction", [.string(EthereumHex.text(raw))])
    }

    public func receipt(of hash: [UInt8]) async throws(SettlementError) -> TransactionReceipt? {
        let answer = try await ask("eth_getTransactionReceipt", [.string(EthereumHex.text(hash))])
        guard !answer.isNull else { return nil }
        return try read("eth_getTransactionReceipt") {
            let status = try answer.string("status")
            guard try EthereumHex.bytes(answer.string("transactionHash"), count: 32) == hash,
                status == "0x1" || status == "0x0"
            else { throw JSONError(.value, "it is of another transaction, or has no status") }
            return TransactionReceipt(
                hash: hash,
                block: try Self.block(answer),
                succeeded: status == "0x1",
                logs: try answer.array("logs").map(Self.log)
            )
        }
    }

    public func events(
        of contract: Address,
        topics: [[UInt8]],
        since block: UInt64
    ) async throws(SettlementError) -> [EventPlace] {
        let filter: JSONObject = [
            "address": .string(contract.description), "fromBlock": .string(UInt256(block).quantity),
            "toBlock": "latest", "topics": JSONValue(topics.map(EthereumHex.text)),
        ]
        let answer = try await ask("eth_getLogs", [.object(filter)])
        return try read("eth_getLogs") {
            try answer.requireArray("the logs").compactMap { entry in
                let log = try Self.log(entry)
                // Not every node filters as it is asked.
                guard log.contract == contract, log.topics.starts(with: topics),
                    try entry.optionalBool("removed") != true
                else { return nil }
                return EventPlace(
                    hash: try EthereumHex.bytes(entry.string("transactionHash"), count: 32),
                    block: try Self.block(entry)
                )
            }
        }
    }

    private static func json(_ call: EVMCall) -> JSONValue {
        [
            "from": .string(call.from.description), "to": .string(call.to.description),
            "data": .string(EthereumHex.text(call.data)),
        ]
    }

    private static func block(_ value: JSONValue) throws -> UInt64 {
        guard let block = try UInt256(quantity: value.string("blockNumber")).uint64Value else {
            throw JSONError(.value, "`blockNumber` is beyond 64 bits")
        }
        return block
    }

    private static func log(_ value: JSONValue) throws -> ReceiptLog {
        let topics = try value.strings("topics")
        guard topics.count <= 4 else { throw JSONError(.value, "an event has at most 4 topics") }
        return ReceiptLog(
            contract: try Address(value.string("address")),
            topics: try topics.map { try EthereumHex.bytes($0, count: 32) }
        )
    }
}

// MARK: Asking

extension JSONRPCChain {
    private func quantity(_ method: String, _ parameters: [JSONValue]) async throws(SettlementError) -> UInt256 {
        let answer = try await ask(method, parameters)
        return try read(method) { try UInt256(quantity: answer.requireString()) }
    }

    private func count(_ method: String, _ parameters: [JSONValue]) async throws(SettlementError) -> UInt64 {
        guard let number = try await quantity(method, parameters).uint64Value else {
            throw SettlementError(.invalidAnswer, "the chain's node answered \(method) with more than 64 bits")
        }
        return number
    }

    private func bytes(_ method: String, _ parameters: [JSONValue]) async throws(SettlementError) -> [UInt8] {
        let answer = try await ask(method, parameters)
        return try read(method) { try EthereumHex.bytes(answer.requireString()) }
    }

    /// Names an answer that does not say what it should.
    private func read<T>(_ method: String, _ body: () throws -> T) throws(SettlementError) -> T {
        do {
            return try body()
        } catch {
            throw SettlementError(
                .invalidAnswer,
                "the chain's node answered \(method) with what can't be read: \(error)",
                cause: error
            )
        }
    }

    /// One question, and the `result` of its answer.
    private func ask(_ method: String, _ parameters: [JSONValue]) async throws(SettlementError) -> JSONValue {
        let question: JSONObject = [
            "jsonrpc": "2.0", "id": 1, "method": .string(method), "params": .array(parameters),
        ]
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers = headers
        request.body = .bytes(question.serialized())
        let (status, body) = try await exchange(request, method)
        let json = try? JSONValue.parse(body, limits: Self.limits).requireObject()
        if let error = json?["error"], !error.isNull { throw Self.refusal(error, method) }
        guard (200..<300).contains(status), let json, json["id"] == 1, let result = json["result"] else {
            // An answer of a proxy before the node says nothing about what the node did.
            throw SettlementError(.noAnswer, "the chain's node answered \(method) with \(status) and no result")
        }
        return result
    }

    private func exchange(
        _ request: HTTPClientRequest,
        _ method: String
    ) async throws(SettlementError) -> (status: Int, body: [UInt8]) {
        do {
            return try await TimeLimit.within(milliseconds: timeoutMilliseconds) { [client] deadline in
                let response = try await client.execute(request, deadline: deadline, logger: nil)
                let body = try await response.body.collect(upTo: Self.maximumAnswerBytes)
                return (Int(response.status.code), Array(buffer: body))
            }
        } catch {
            throw Exchange.failure(error, of: "the chain's node", asked: method)
        }
    }

    /// Nodes say "execution reverted" with code 3, some with -32000; whatever else is an error is theirs, not the contract's.
    private static func refusal(_ error: JSONValue, _ method: String) -> SettlementError {
        let words = Exchange.printable(error["message"]?.stringValue ?? "")
        let code = error["code"]?.int64Value
        let isRevert = code == 3 || words.lowercased().contains("revert")
        if isRevert, method == "eth_call" || method == "eth_estimateGas" {
            return SettlementError(.reverted, "the contract refuses: \(words)")
        }
        return SettlementError(
            .refused,
            "the chain's node refuses \(method): \(words) (\(code.map(String.init) ?? "?"))"
        )
    }
}
