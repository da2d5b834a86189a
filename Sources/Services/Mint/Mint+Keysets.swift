public import Cashu
internal import Encodings
internal import Logging
internal import Synchronization

/// Changing keysets (NUT-01, NUT-02): by hand, and by the schedule of the configuration.
extension Mint {
    /// Puts a new keyset of the unit in the place of its active one, which stays redeemable until its final expiry.
    /// - Returns: the new keyset's id.
    /// - Throws: `MintSetupError` for a unit that is not configured, or while another rotation is under way;
    ///   `StorageError`.
    @discardableResult
    public func rotate(_ unit: CurrencyUnit) async throws -> KeysetID {
        guard let settings = configuration.units.first(where: { $0.unit == unit }) else {
            throw MintSetupError(.unitUnknown, "this mint does not deal in \(unit)")
        }
        return try await whileRotating { try await rotate(settings) }
    }

    /// Rotates each unit whose active keyset has served as long as the configuration lets it.
    /// - Returns: the new keysets' ids.
    @discardableResult
    public func rotateDueKeysets() async throws -> [KeysetID] {
        guard configuration.rotationSeconds != nil else { return [] }
        return try await whileRotating {
            var rotated: [KeysetID] = []
            for unit in configuration.units where try await keeper.isDue(unit, at: clock.now()) {
                rotated.append(try await rotate(unit))
            }
            return rotated
        }
    }

    private var keeper: KeysetKeeper {
        KeysetKeeper(store: store, signatory: signatory, configuration: configuration)
    }

    private func rotate(_ unit: MintConfiguration.Unit) async throws -> KeysetID {
        let now = clock.now()
        try await keeper.rotate(unit, at: now)
        let ring = try await keeper.open(at: now)
        ringBox.withLock { $0 = ring }
        guard let active = ring.active(unit.unit) else {
            throw MintSetupError(
                .configuration,
                "the new keyset of \(unit.unit) has expired already: correct its final expiry"
            )
        }
        logger.notice("keyset rotated", metadata: ["unit": "\(unit.unit)", "keyset": "\(active.id)"])
        return active.id
    }

    private func whileRotating<T>(_ work: () async throws -> T) async throws -> T {
        let isFirst = isRotating.withLock { isRotating in
            defer { isRotating = true }
            return !isRotating
        }
        guard isFirst else {
            throw MintSetupError(.busy, "a keyset is being rotated already; look with `mintmark mint keysets`")
        }
        defer { isRotating.withLock { $0 = false } }
        return try await work()
    }
}
