internal import Ethereum
internal import Paywall

// What is asked of the chain before a payment is taken.
extension ChainSettler {
    /// Whether the chain would take the payment now (`scheme_exact_evm.md`, phase 2, steps 1, 2 and 5).
    /// - Parameter simulates: whether the transfer is tried too; estimating its gas does the same.
    /// - Throws: `X402Refusal` where it would not; `SettlementError` where that can't be found out.
    func examine(_ checked: X402.ExactEVM.Checked, simulates: Bool) async throws {
        let contract = checked.token.contract
        guard try await !chain.code(at: contract).isEmpty else {
            throw X402Refusal(.assetNotDeployed, "There is no contract at \(contract).")
        }
        guard try await !isUsed(contract, checked.payer, checked.authorization.nonce) else {
            throw X402Refusal(.nonceUsed, "The authorisation was used or cancelled.")
        }
        try await requireAccount(of: checked)
        let answer = try await ask(contract, TokenCalls.balance(of: checked.payer))
        guard let holding = try? ABI.uint256(answer) else {
            throw SettlementError(.invalidAnswer, "the token's contract did not say what the payer holds")
        }
        guard holding >= checked.authorization.value else {
            throw X402Refusal(.insufficientBalance, "The payer holds \(holding) of the token.")
        }
        if simulates, case .reverted(let words) = try await attempt(contract, checked.callData) {
            throw await diagnosis(of: checked, said: words)
        }
    }

    /// A signature that is not the payer's own can only be that of an account that is a contract.
    private func requireAccount(of checked: X402.ExactEVM.Checked) async throws {
        guard case .contract(let signature) = checked.signature else { return }
        let code = try await chain.code(at: checked.payer)
        guard code.isEmpty else { return }
        guard signature.count == 65 else {
            throw X402Refusal(.undeployedWallet, "The payer's account is no contract, and the signature not its own.")
        }
        throw X402Refusal(.invalidSignature, "The signature is not the payer's.")
    }

    /// Whether an authorisation was used or cancelled, by the contract's word.
    func isUsed(_ contract: Address, _ payer: Address, _ authorization: [UInt8]) async throws -> Bool {
        let call = TokenCalls.authorizationState(authorizer: payer, nonce: authorization)
        guard case .answered(let answer) = try await attempt(contract, call), let isUsed = try? ABI.bool(answer) else {
            throw X402Refusal(.authorizationUnsupported, "The token does not take signed authorisations (EIP-3009).")
        }
        return isUsed
    }

    /// What became of a call.
    private enum Attempt: Sendable {
        case answered([UInt8])
        case reverted(String)
    }

    private func attempt(_ contract: Address, _ data: [UInt8]) async throws(SettlementError) -> Attempt {
        do {
            return .answered(try await ask(contract, data))
        } catch {
            guard error.code == .reverted else { throw error }
            return .reverted(error.message)
        }
    }

    private func ask(_ contract: Address, _ data: [UInt8]) async throws(SettlementError) -> [UInt8] {
        try await chain.call(EVMCall(from: account, to: contract, data: data))
    }

    /// Why the contract refuses what the payload promised: mostly a wrong name or version in the signed domain.
    private func diagnosis(of checked: X402.ExactEVM.Checked, said: String) async -> X402Refusal {
        let token = checked.token
        if let answer = try? await ask(token.contract, TokenCalls.name), let name = try? ABI.string(answer),
            name != token.name
        {
            return X402Refusal(.tokenNameMismatch, "The token's name is \(name), not \(token.name).")
        }
        if let answer = try? await ask(token.contract, TokenCalls.version), let version = try? ABI.string(answer),
            version != token.version
        {
            return X402Refusal(.tokenVersionMismatch, "The token's version is \(version), not \(token.version).")
        }
        if case .contract = checked.signature {
            return X402Refusal(.invalidSignature, "The payer's account does not accept the signature.")
        }
        return X402Refusal(.simulationFailed, "The token's contract would refuse the transfer: \(said)")
    }

    // MARK: Gas

    /// The estimate and a fifth more, as the state may change until the block.
    func gasLimit(for call: EVMCall, of checked: X402.ExactEVM.Checked) async throws -> UInt64 {
        guard case .estimated(let estimate) = try await estimate(call) else {
            throw await diagnosis(of: checked, said: "its gas can't be estimated")
        }
        guard estimate <= configuration.maximumGas else {
            throw SettlementError(
                .tooExpensive,
                "the settlement needs \(estimate) gas, \(configuration.maximumGas) are allowed; nothing was sent"
            )
        }
        return min(estimate + estimate / 5, configuration.maximumGas)
    }

    private enum Estimate: Sendable {
        case estimated(UInt64)
        case reverted
    }

    private func estimate(_ call: EVMCall) async throws(SettlementError) -> Estimate {
        do {
            return .estimated(try await chain.estimateGas(call))
        } catch {
            guard error.code == .reverted else { throw error }
            return .reverted
        }
    }
}
