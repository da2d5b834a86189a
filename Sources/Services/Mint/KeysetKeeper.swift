internal import Cashu
internal import Encodings

/// Which keysets there are and which one is next: from the configuration, what the store knows, and the signatory.
struct KeysetKeeper {
    let store: any MintStore
    let signatory: any Signatory
    let configuration: MintConfiguration

    /// Adds a keyset for each configured unit that has none as it is configured, and has the signatory make all ready.
    /// - Throws: `MintSetupError` `wrongSeed` where the signatory's keys are not this database's.
    func open(at now: Timestamp) async throws -> KeysetRing {
        for unit in configuration.units {
            let records = try await records(unit.unit)
            if !records.contains(where: { isServed(unit, by: $0, at: now) }) {
                try await add(unit, after: records, at: now)
            }
        }
        var keysets: [Keyset] = []
        for record in try await store.keysets() {
            let ready = try await signatory.add(record.plan)
            guard ready.id == record.info.id else {
                throw MintSetupError(
                    .wrongSeed,
                    "the mint's seed does not make keyset \(record.info.id) of this database: use the data directory and"
                        + " recovery words that belong together"
                )
            }
            keysets.append(try Keyset(info: record.info, keys: ready.keys))
        }
        return try KeysetRing(keysets, now: now.unixSeconds)
    }

    /// Whether this keyset is the unit's active one and as configured.
    private func isServed(_ unit: MintConfiguration.Unit, by record: KeysetRecord, at now: Timestamp) -> Bool {
        let info = record.info
        guard info.isActive, info.inputFeePPK == unit.inputFeePPK else { return false }
        guard unit.lifetimeSeconds != nil else { return info.finalExpiry == unit.finalExpiry }
        return info.finalExpiry != nil && !info.hasExpired(now: now.unixSeconds)
    }

    /// Whether the schedule wants another keyset in the place of the unit's active one.
    func isDue(_ unit: MintConfiguration.Unit, at now: Timestamp) async throws -> Bool {
        guard let interval = configuration.rotationSeconds else { return false }
        guard let active = try await records(unit.unit).first(where: \.info.isActive) else { return true }
        guard let createdAt = active.createdAt else { return true }
        return now >= createdAt.adding(seconds: interval)
    }

    /// Puts a new keyset of the unit in the place of its active one.
    func rotate(_ unit: MintConfiguration.Unit, at now: Timestamp) async throws {
        try await add(unit, after: records(unit.unit), at: now)
    }

    private func records(_ unit: CurrencyUnit) async throws -> [KeysetRecord] {
        try await store.keysets().filter { $0.info.unit == unit }
    }

    private func add(_ unit: MintConfiguration.Unit, after records: [KeysetRecord], at now: Timestamp) async throws {
        let expiry = unit.lifetimeSeconds.map { now.adding(seconds: $0).unixSeconds } ?? unit.finalExpiry
        let last = records.map(\.counter).max()
        guard last != UInt32.max else {
            throw MintSetupError(.configuration, "the mint has used up all \(UInt32.max) keysets of \(unit.unit)")
        }
        let plan = KeysetPlan(
            unit: unit.unit,
            counter: last.map { $0 + 1 } ?? 0,
            inputFeePPK: unit.inputFeePPK,
            finalExpiry: expiry
        )
        let keyset = try await signatory.add(plan)
        try await store.add(KeysetRecord(info: keyset.info, counter: plan.counter, createdAt: now))
    }
}

extension KeysetRecord {
    /// What the signatory makes this keyset's keys from.
    var plan: KeysetPlan {
        KeysetPlan(
            version: info.id.version,
            unit: info.unit,
            counter: counter,
            inputFeePPK: info.inputFeePPK,
            finalExpiry: info.finalExpiry
        )
    }
}

extension Timestamp {
    /// Whole seconds since 1970; 0 before that.
    var unixSeconds: UInt64 { UInt64(clamping: secondsSince1970) }
}
