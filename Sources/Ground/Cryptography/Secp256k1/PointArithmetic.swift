import CSecp256k1

extension Secp256k1.Point {
    /// self + other; `invalidPoint` where that is infinity (other is −self).
    public func adding(_ other: Self) throws(CryptographyError) -> Self {
        var sum = secp256k1_pubkey()
        let status = withUnsafePointer(to: parsed) { first in
            withUnsafePointer(to: other.parsed) { second in
                var terms: (UnsafePointer<secp256k1_pubkey>?, UnsafePointer<secp256k1_pubkey>?) = (first, second)
                return withUnsafePointer(to: &terms) { terms in
                    terms.withMemoryRebound(to: UnsafePointer<secp256k1_pubkey>?.self, capacity: 2) { terms in
                        // The output must not be one of the terms: the library writes it first.
                        secp256k1_ec_pubkey_combine(Secp256k1.context, &sum, terms, 2)
                    }
                }
            }
        }
        guard status == 1 else {
            throw CryptographyError(.invalidPoint, "the sum of the two points is the point at infinity")
        }
        return Self(parsed: sum)
    }

    /// self − other; `invalidPoint` where that is infinity (the points are equal).
    public func subtracting(_ other: Self) throws(CryptographyError) -> Self {
        try adding(other.negated())
    }

    /// −self: the point with the other y.
    public func negated() -> Self {
        var negative = parsed
        // The library documents that this always succeeds on a parsed point.
        _ = secp256k1_ec_pubkey_negate(Secp256k1.context, &negative)
        return Self(parsed: negative)
    }

    /// The sum of several points; `invalidPoint` where there are none or the sum is infinity.
    public static func sum(_ points: [Self]) throws(CryptographyError) -> Self {
        var sum = secp256k1_pubkey()
        let status: Int32 = points.withUnsafeBufferPointer { points in
            guard !points.isEmpty else { return 0 }
            return withUnsafeTemporaryAllocation(
                of: UnsafePointer<secp256k1_pubkey>?.self,
                capacity: points.count
            ) { terms in
                for index in points.indices {
                    // A `Point` is laid out as its one field.
                    let term = UnsafeRawPointer(points.baseAddress! + index)
                    terms.initializeElement(at: index, to: term.assumingMemoryBound(to: secp256k1_pubkey.self))
                }
                return secp256k1_ec_pubkey_combine(Secp256k1.context, &sum, terms.baseAddress!, points.count)
            }
        }
        guard status == 1 else {
            throw CryptographyError(.invalidPoint, "the sum of the \(points.count) points is the point at infinity")
        }
        return Self(parsed: sum)
    }

    /// scalar · self, fast, in a time that depends on the scalar: for public scalars only, such as a challenge that is
    /// being verified.
    public func multiplied(byPublic scalar: Secp256k1.Scalar) throws(CryptographyError) -> Self {
        var product = parsed
        let status = scalar.storage.withPointer { scalar in
            secp256k1_ec_pubkey_tweak_mul(Secp256k1.context, &product, scalar)
        }
        guard status == 1 else {
            throw CryptographyError(.invalidPoint, "the multiplication of the point failed")
        }
        return Self(parsed: product)
    }

    /// scalar · self in constant time, for a mint's private keys, blinding factors and shared secrets.
    ///
    /// libsecp256k1 offers a constant-time product as Diffie-Hellman only: its hash function is replaced by one that
    /// copies the coordinates out.
    public func multiplied(bySecret scalar: Secp256k1.Scalar) throws(CryptographyError) -> Self {
        var product = secp256k1_pubkey()
        let status: Int32 = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 65) { coordinates in
            let output = coordinates.baseAddress!
            output.initialize(repeating: 0, count: 65)
            output[0] = 4
            let multiplied = withUnsafePointer(to: parsed) { parsed in
                scalar.storage.withPointer { scalar in
                    secp256k1_ecdh(Secp256k1.context, output + 1, parsed, scalar, copyCoordinates, nil)
                }
            }
            guard multiplied == 1 else { return 0 }
            return secp256k1_ec_pubkey_parse(Secp256k1.context, &product, output, 65)
        }
        guard status == 1 else {
            throw CryptographyError(.invalidPoint, "the multiplication of the point failed")
        }
        return Self(parsed: product)
    }

    /// generatorScalar · G + self, in a time that depends on the scalar: public scalars only.
    public func adding(
        publicMultipleOfGenerator generatorScalar: Secp256k1.Scalar
    ) throws(CryptographyError) -> Self {
        var sum = parsed
        let status = generatorScalar.storage.withPointer { scalar in
            secp256k1_ec_pubkey_tweak_add(Secp256k1.context, &sum, scalar)
        }
        guard status == 1 else {
            throw CryptographyError(.invalidPoint, "the sum of the two points is the point at infinity")
        }
        return Self(parsed: sum)
    }

    /// scalar · self + generatorScalar · G in one pass, three quarters of the cost of the two products, in a time that
    /// depends on the scalars: for public scalars only, such as the two of a DLEQ proof (NUT-12). `invalidPoint` where
    /// the sum is infinity.
    ///
    /// libsecp256k1 offers this double product only inside the recovery of an ECDSA key, Q = r⁻¹(s·R − z·G). With
    /// R = self, r = x(R), s = scalar · r and z = −generatorScalar · r that is the wanted sum.
    public func multiplied(
        byPublic scalar: Secp256k1.Scalar,
        addingPublicMultipleOfGenerator generatorScalar: Secp256k1.Scalar
    ) throws(CryptographyError) -> Self {
        let encoded = compressed
        // An x from the group order up to the field's prime stands for another r. Nobody meets one by chance (2^-128),
        // but a peer may choose it: then the plain way serves.
        guard let r = try? Secp256k1.Scalar(bytes: Array(encoded[1...])) else {
            return try multiplied(byPublic: scalar).adding(publicMultipleOfGenerator: generatorScalar)
        }
        let s = try scalar.multiplied(by: r)
        let z = try generatorScalar.multiplied(by: r).negated()
        do {
            return try Secp256k1.ECDSA.recover(
                signature: r.bytes + s.bytes,
                recoveryID: encoded[0] & 1,
                digest: z.bytes
            )
        } catch {
            throw CryptographyError(.invalidPoint, "the sum of the two products is the point at infinity")
        }
    }
}

/// Stands in for libsecp256k1's hash of a shared point: writes x‖y, 64 bytes.
private func copyCoordinates(
    _ output: UnsafeMutablePointer<UInt8>?,
    _ x: UnsafePointer<UInt8>?,
    _ y: UnsafePointer<UInt8>?,
    _ data: UnsafeMutableRawPointer?
) -> Int32 {
    guard let output, let x, let y else { return 0 }
    output.update(from: x, count: 32)
    (output + 32).update(from: y, count: 32)
    return 1
}
