internal import CanonicalJSON
package import Cashu
internal import Encodings
internal import Lightning

/// What the mint says of itself (NUT-01, NUT-02, NUT-06).
extension Mint {
    /// `GET /v1/info`: the limits told here are the ones enforced.
    package var info: MintInfo {
        let limits = configuration.limits
        let settled = configuration.units.filter { UnitRate($0.unit, set: $0.msatPerUnit) != nil }
        var info = MintInfo()
        info.name = configuration.name
        info.version = configuration.version
        info.description = configuration.description.isEmpty ? nil : configuration.description
        info.messageOfTheDay = configuration.messageOfTheDay ?? lightning.network.testMoneyNotice
        info.urls = configuration.urls
        info.time = UInt64(clamping: clock.now().secondsSince1970)
        info.maximumArrayLength = UInt64(min(limits.inputs, limits.outputs))
        info.setMinting(
            settled.map {
                MethodSetting(
                    unit: $0.unit,
                    minimumAmount: $0.minimumAmount,
                    maximumAmount: $0.maximumAmount,
                    takesDescription: true
                )
            }
        )
        info.setMelting(
            settled.map {
                MethodSetting(
                    unit: $0.unit,
                    minimumAmount: $0.minimumAmount,
                    maximumAmount: $0.maximumAmount,
                    paysAmountless: false
                )
            }
        )
        info.setSupported(7, 8, 9, 10, 11, 12, 14, 20)
        info.setCachedAnswers(
            seconds: UInt64(clamping: configuration.answerLifetimeSeconds),
            paths: RequestDigest.Route.allCases.map(\.rawValue)
        )
        info.batchMinting = BatchMintSetting(maximumBatch: UInt64(clamping: limits.batchQuotes), methods: [.bolt11])
        if lightning.abilities.paysParts { info.setPartialPayments(settled.map(\.unit)) }
        if let settings = configuration.authentication {
            info.setClearAuth(
                discoveryURL: settings.discoveryURL,
                clientID: settings.clientID,
                endpoints: settings.clear
            )
            if !settings.blind.isEmpty {
                info.setBlindAuth(maximumTokens: settings.maximumTokens, endpoints: settings.blind)
            }
        }
        if configuration.subscriptions.areOn {
            info.setSubscriptions(SubscriptionKind.allCases, units: configuration.units.map(\.unit))
        }
        return info
    }

    /// `GET /v1/keys`: the keys of the active keysets.
    package var activeKeys: [UInt8] { ring.activeKeysBody }

    /// `GET /v1/keysets`: all keysets, without keys.
    package var keysetList: [UInt8] { ring.listBody }

    /// `GET /v1/keys/{id}`.
    /// - Throws: `MintError` 12001.
    package func keys(of id: String) throws(MintError) -> [UInt8] {
        guard let id = try? KeysetID(hex: id), let body = ring.keysBody(id) else {
            throw MintError(.keysetUnknown, "this mint has no keyset \(id.prefix(80))")
        }
        return body
    }

    /// All keysets, with their public keys; for a wallet in the same process and for tests.
    package var allKeysets: [Keyset] { ring.all }

    /// The active keysets, with their public keys; for a wallet in the same process and for tests.
    package var activeKeysets: [Keyset] { ring.all.filter(\.info.isActive) }
}
