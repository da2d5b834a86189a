import CanonicalJSON
import Ethereum
import Synchronization

/// What goes wrong with a question to the stand-in.
enum ChainFault: Sendable {
    /// Done, and no answer comes.
    case silence
    /// Not done; a proxy answers.
    case proxyError
    /// Not done; this error of JSON-RPC is answered.
    case refusal(Int64, String)
    /// Done, and this is answered as the result.
    case lie(JSONValue)
}

/// A chain of one token in memory, which checks what a chain checks: signatures, nonces, balances, fees, times. Blocks are
/// made when a test says so.
final class StandInChain: Sendable {
    static let token = AuthorizedToken(
        contract: (try? Address("0x036CbD53842c5426634e7929541eC2318f3dCF7e")) ?? .zero,
        chainID: UInt256(84_532),
        name: "USDC",
        version: "2"
    )
    static let gasOfTransfer: UInt64 = 80_000

    struct Receipt: Sendable {
        var block: UInt64
        var succeeded: Bool
        /// The event's topics; none where the transaction was undone.
        var topics: [[UInt8]]
    }

    /// What a block changes, so that it can be undone.
    struct Ledger: Sendable {
        var block: UInt64 = 100
        var coins: [Address: UInt256] = [:]
        var tokens: [Address: UInt256] = [:]
        var counts: [Address: UInt64] = [:]
        var used: Set<[UInt8]> = []
        var receipts: [[UInt8]: Receipt] = [:]
        var order: [[UInt8]] = []
    }

    struct State: Sendable {
        var ledger = Ledger()
        var history: [Ledger] = []
        var pool: [SignedTransaction] = []
        var received: [SignedTransaction] = []
        var codes: [Address: [UInt8]] = [StandInChain.token.contract: [0x60]]
        var baseFee = UInt256(1_000)
        var tip = UInt256(100)
        var time: UInt64 = 1_790_000_000
        var minesAtOnce = true
        var dropsWhatComes = false
        var faults: [(method: String, fault: ChainFault)] = []
        var chainID = StandInChain.token.chainID
        var asked: [String] = []
    }

    let state = Mutex(State())

    func change(_ body: (inout State) -> Void) { state.withLock { body(&$0) } }
    func look<T: Sendable>(_ body: (State) -> T) -> T { state.withLock { body($0) } }

    func tokens(of address: Address) -> UInt256 { look { $0.ledger.tokens[address] ?? .zero } }

    func fail(_ method: String, _ fault: ChainFault, times: Int = 1) {
        change { state in for _ in 0..<times { state.faults.append((method, fault)) } }
    }

    // MARK: Blocks

    /// Makes a block of what can be carried out.
    func mine(_ blocks: Int = 1) {
        change { state in for _ in 0..<blocks { Self.mine(&state) } }
    }

    /// Undoes blocks; their transactions wait again, or are lost.
    func undo(_ blocks: Int, keepsTransactions: Bool = true) {
        change { state in
            guard state.history.count >= blocks else { return }
            let earlier = state.history[state.history.count - blocks]
            let undone = state.ledger.order.dropFirst(earlier.order.count)
            state.history.removeLast(blocks)
            state.ledger = earlier
            guard keepsTransactions else { return }
            state.pool += undone.compactMap { hash in state.received.first { $0.hash == hash } }
        }
    }

    private static func mine(_ state: inout State) {
        state.history.append(state.ledger)
        state.ledger.block += 1
        var progress = true
        while progress {
            progress = false
            for transaction in state.pool {
                let inner = transaction.transaction
                guard inner.nonce == state.ledger.counts[transaction.sender] ?? 0,
                    inner.maximumFeePerGas >= state.baseFee
                else { continue }
                carryOut(transaction, &state)
                progress = true
            }
            let counts = state.ledger.counts
            state.pool.removeAll { $0.transaction.nonce < counts[$0.sender] ?? 0 }
        }
    }

    private static func carryOut(_ transaction: SignedTransaction, _ state: inout State) {
        let sender = transaction.sender
        state.ledger.counts[sender] = transaction.transaction.nonce + 1
        let cost = try? state.baseFee.multiplied(by: gasOfTransfer)
        let left = (try? state.ledger.coins[sender]?.subtracting(cost ?? .zero)) ?? .zero
        state.ledger.coins[sender] = left
        var receipt = Receipt(block: state.ledger.block, succeeded: false, topics: [])
        if refusal(transaction.transaction.data, state) == nil,
            let topics = apply(transaction.transaction.data, &state.ledger)
        {
            receipt.succeeded = true
            receipt.topics = topics
        }
        state.ledger.receipts[transaction.hash] = receipt
        state.ledger.order.append(transaction.hash)
    }

    /// Why the token's contract would undo a call; nil where it would not.
    private static func refusal(_ data: [UInt8], _ state: State) -> String? {
        if data.starts(with: cancelSelector) { return nil }
        guard let (authorization, signature) = try? TransferAuthorization.parse(callData: data) else {
            return "execution reverted"
        }
        guard authorization.isInTime(secondsSince1970: state.time) else {
            return "execution reverted: authorization is expired"
        }
        guard !state.ledger.used.contains(key(authorization.from, authorization.nonce)) else {
            return "execution reverted: authorization is used"
        }
        guard authorization.isSigned(signature, for: token) else { return "execution reverted: invalid signature" }
        guard state.ledger.tokens[authorization.from] ?? .zero >= authorization.value else {
            return "execution reverted: transfer amount exceeds balance"
        }
        return nil
    }

    /// Carries a call out and gives the topics of its event.
    private static func apply(_ data: [UInt8], _ ledger: inout Ledger) -> [[UInt8]]? {
        if data.starts(with: cancelSelector) {
            let authorizer = data[4..<36], nonce = Array(data[36..<68])
            guard let address = try? Address(bytes: Array(authorizer.suffix(20))),
                ledger.used.insert(key(address, nonce)).inserted
            else { return nil }
            return [TokenCalls.authorizationCanceledTopic, address.word, nonce]
        }
        guard let (authorization, _) = try? TransferAuthorization.parse(callData: data),
            let from = try? ledger.tokens[authorization.from]?.subtracting(authorization.value)
        else { return nil }
        ledger.used.insert(key(authorization.from, authorization.nonce))
        ledger.tokens[authorization.from] = from
        ledger.tokens[authorization.to] = try? (ledger.tokens[authorization.to] ?? .zero).adding(authorization.value)
        return [TokenCalls.authorizationUsedTopic, authorization.from.word, authorization.nonce]
    }

    private static let cancelSelector = ABI.selector("cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)")

    private static func key(_ address: Address, _ nonce: [UInt8]) -> [UInt8] { address.bytes + nonce }

    // MARK: Questions

    enum Answer: Sendable {
        case result(JSONValue)
        case error(Int64, String)
        case proxyError
        case silence
    }

    func answer(_ method: String, _ parameters: [JSONValue]) -> Answer {
        state.withLock { state in
            state.asked.append(method)
            var fault: ChainFault?
            if let index = state.faults.firstIndex(where: { $0.method == method }) {
                fault = state.faults.remove(at: index).fault
            }
            switch fault {
            case .proxyError?: return .proxyError
            case .refusal(let code, let words)?: return .error(code, words)
            case .silence?, .lie?, nil: break
            }
            let answer = Self.answer(method, parameters, &state)
            if case .silence? = fault { return .silence }
            if case .lie(let value)? = fault { return .result(value) }
            return answer
        }
    }

    private static func answer(_ method: String, _ parameters: [JSONValue], _ state: inout State) -> Answer {
        let first = parameters.first ?? .null
        func address(_ value: JSONValue?) -> Address { (value?.stringValue).flatMap { try? Address($0) } ?? .zero }
        func number(_ value: UInt256) -> Answer { .result(.string(value.quantity)) }
        switch method {
        case "eth_chainId": return number(state.chainID)
        case "eth_blockNumber": return number(UInt256(state.ledger.block))
        case "eth_getBalance": return number(state.ledger.coins[address(first)] ?? .zero)
        case "eth_getCode": return .result(.string(EthereumHex.text(state.codes[address(first)] ?? [])))
        case "eth_maxPriorityFeePerGas": return number(state.tip)
        case "eth_getBlockByNumber": return .result(["baseFeePerGas": .string(state.baseFee.quantity)])
        case "eth_getTransactionCount":
            var count = state.ledger.counts[address(first)] ?? 0
            if parameters.last == "pending" {
                while state.pool.contains(where: { $0.sender == address(first) && $0.transaction.nonce == count }) {
                    count += 1
                }
            }
            return number(UInt256(count))
        case "eth_call", "eth_estimateGas": return call(method, first, state)
        case "eth_sendRawTransaction": return send(first, &state)
        case "eth_getTransactionReceipt": return receipt(first, state)
        case "eth_getLogs": return logs(first, state)
        default: return .error(-32601, "the method \(method) does not exist")
        }
    }

    private static func call(_ method: String, _ call: JSONValue, _ state: State) -> Answer {
        guard let text = call["data"]?.stringValue, let data = try? EthereumHex.bytes(text),
            call["to"]?.stringValue == token.contract.description
        else { return .result("0x") }
        if data == TokenCalls.name { return .result(.string(EthereumHex.text(string(token.name)))) }
        if data == TokenCalls.version { return .result(.string(EthereumHex.text(string(token.version)))) }
        if data.starts(with: ABI.selector("balanceOf(address)")),
            let holder = try? Address(bytes: Array(data.suffix(20)))
        {
            return .result(.string(EthereumHex.text((state.ledger.tokens[holder] ?? .zero).word)))
        }
        if data.starts(with: ABI.selector("authorizationState(address,bytes32)")),
            let holder = try? Address(bytes: Array(data[16..<36]))
        {
            let isUsed = state.ledger.used.contains(key(holder, Array(data.suffix(32))))
            return .result(.string(EthereumHex.text(UInt256(isUsed ? 1 : 0).word)))
        }
        if let words = refusal(data, state) { return .error(3, words) }
        return .result(method == "eth_call" ? "0x" : .string(UInt256(gasOfTransfer).quantity))
    }

    private static func string(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        return UInt256(32).word + UInt256(UInt64(bytes.count)).word + bytes
            + [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32)
    }

    private static func send(_ raw: JSONValue, _ state: inout State) -> Answer {
        guard let text = raw.stringValue, let bytes = try? EthereumHex.bytes(text),
            let signed = try? SignedTransaction(raw: bytes), signed.transaction.chainID == state.chainID
        else { return .error(-32000, "invalid transaction") }
        let inner = signed.transaction
        state.received.append(signed)
        guard inner.nonce >= state.ledger.counts[signed.sender] ?? 0 else { return .error(-32000, "nonce too low") }
        guard !state.pool.contains(signed) else { return .error(-32000, "already known") }
        let cost = (try? inner.maximumFeePerGas.multiplied(by: inner.gasLimit)) ?? .max
        guard state.ledger.coins[signed.sender] ?? .zero >= cost else {
            return .error(-32000, "insufficient funds for gas * price + value")
        }
        if let index = state.pool.firstIndex(where: {
            $0.sender == signed.sender && $0.transaction.nonce == inner.nonce
        }) {
            let old = state.pool[index].transaction
            guard isRaised(old.maximumFeePerGas, inner.maximumFeePerGas),
                isRaised(old.maximumPriorityFeePerGas, inner.maximumPriorityFeePerGas)
            else { return .error(-32000, "replacement transaction underpriced") }
            state.pool.remove(at: index)
        }
        if !state.dropsWhatComes { state.pool.append(signed) }
        if state.minesAtOnce { mine(&state) }
        return .result(.string(EthereumHex.text(signed.hash)))
    }

    /// Nodes want a tenth more of both.
    private static func isRaised(_ old: UInt256, _ new: UInt256) -> Bool {
        guard let least = try? old.multiplied(by: 11), let offered = try? new.multiplied(by: 10) else { return false }
        return offered >= least
    }

    private static func receipt(_ hash: JSONValue, _ state: State) -> Answer {
        guard let text = hash.stringValue, let bytes = try? EthereumHex.bytes(text),
            let receipt = state.ledger.receipts[bytes]
        else { return .result(.null) }
        return .result([
            "transactionHash": .string(text), "blockNumber": .string(UInt256(receipt.block).quantity),
            "status": receipt.succeeded ? "0x1" : "0x0",
            "logs": receipt.topics.isEmpty ? [] : [log(receipt.topics, bytes, receipt.block)],
        ])
    }

    private static func log(_ topics: [[UInt8]], _ hash: [UInt8], _ block: UInt64) -> JSONValue {
        [
            "address": .string(token.contract.description), "topics": JSONValue(topics.map(EthereumHex.text)),
            "transactionHash": .string(EthereumHex.text(hash)), "blockNumber": .string(UInt256(block).quantity),
        ]
    }

    private static func logs(_ filter: JSONValue, _ state: State) -> Answer {
        let wanted =
            filter["topics"]?.arrayValue?.compactMap { $0.stringValue.flatMap { try? EthereumHex.bytes($0) } } ?? []
        let since = filter["fromBlock"]?.stringValue.flatMap { try? UInt256(quantity: $0).uint64Value } ?? 0
        let found = state.ledger.order.compactMap { hash -> JSONValue? in
            guard let receipt = state.ledger.receipts[hash], receipt.block >= since,
                receipt.topics.starts(with: wanted),
                !receipt.topics.isEmpty
            else { return nil }
            return log(receipt.topics, hash, receipt.block)
        }
        return .result(.array(found))
    }
}
