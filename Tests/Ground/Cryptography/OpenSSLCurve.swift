import COpenSSL

/// OpenSSL's arithmetic and ECDSA on a named curve.
final class OpenSSLCurve {
    private let group: OpaquePointer
    private let identifier: Int32

    static var p256: OpenSSLCurve { OpenSSLCurve(NID_X9_62_prime256v1) }
    static var secp256k1: OpenSSLCurve { OpenSSLCurve(NID_secp256k1) }

    private init(_ identifier: Int32) {
        self.identifier = identifier
        group = EC_GROUP_new_by_curve_name(identifier)
    }

    deinit {
        EC_GROUP_free(group)
    }

    /// scalar · G, or scalar · point; compressed. Nil for infinity.
    func multiply(_ scalar: [UInt8], point: [UInt8]? = nil) -> [UInt8]? {
        let factor = BN_bin2bn(scalar, Int32(scalar.count), nil)
        defer { BN_free(factor) }
        let result = EC_POINT_new(group)
        defer { EC_POINT_free(result) }
        if let point {
            let base = read(point)
            defer { EC_POINT_free(base) }
            OpenSSL.check(EC_POINT_mul(group, result, nil, base, factor, nil))
        } else {
            OpenSSL.check(EC_POINT_mul(group, result, factor, nil, nil, nil))
        }
        return write(result)
    }

    func add(_ first: [UInt8], _ second: [UInt8]) -> [UInt8]? {
        let (left, right) = (read(first), read(second))
        defer {
            EC_POINT_free(left)
            EC_POINT_free(right)
        }
        let result = EC_POINT_new(group)
        defer { EC_POINT_free(result) }
        OpenSSL.check(EC_POINT_add(group, result, left, right, nil))
        return write(result)
    }

    func negate(_ point: [UInt8]) -> [UInt8]? {
        let result = read(point)
        defer { EC_POINT_free(result) }
        OpenSSL.check(EC_POINT_invert(group, result, nil))
        return write(result)
    }

    /// Whether the bytes are a point in OpenSSL's eyes.
    func isPoint(_ bytes: [UInt8]) -> Bool {
        let result = EC_POINT_new(group)
        defer { EC_POINT_free(result) }
        return EC_POINT_oct2point(group, result, bytes, bytes.count, nil) == 1
    }

    func uncompressed(_ point: [UInt8]) -> [UInt8] {
        let parsed = read(point)
        defer { EC_POINT_free(parsed) }
        var output = [UInt8](repeating: 0, count: 65)
        precondition(EC_POINT_point2oct(group, parsed, POINT_CONVERSION_UNCOMPRESSED, &output, 65, nil) == 65)
        return output
    }

    /// r‖s over a digest of 32 bytes.
    func sign(digest: [UInt8], key: [UInt8]) -> [UInt8] {
        let pair = EC_KEY_new_by_curve_name(identifier)
        defer { EC_KEY_free(pair) }
        let scalar = BN_bin2bn(key, Int32(key.count), nil)
        defer { BN_free(scalar) }
        OpenSSL.check(EC_KEY_set_private_key(pair, scalar))
        guard let signature = ECDSA_do_sign(digest, Int32(digest.count), pair) else {
            preconditionFailure("OpenSSL did not sign")
        }
        defer { ECDSA_SIG_free(signature) }
        var output = [UInt8](repeating: 0, count: 64)
        output.withUnsafeMutableBufferPointer { output in
            precondition(BN_bn2binpad(ECDSA_SIG_get0_r(signature), output.baseAddress, 32) == 32)
            precondition(BN_bn2binpad(ECDSA_SIG_get0_s(signature), output.baseAddress.map { $0 + 32 }, 32) == 32)
        }
        return output
    }

    func isValid(signature: [UInt8], digest: [UInt8], publicKey: [UInt8]) -> Bool {
        let key = EC_KEY_new_by_curve_name(identifier)
        defer { EC_KEY_free(key) }
        let point = read(publicKey)
        defer { EC_POINT_free(point) }
        OpenSSL.check(EC_KEY_set_public_key(key, point))
        guard let parsed = ECDSA_SIG_new() else { return false }
        defer { ECDSA_SIG_free(parsed) }
        let r = BN_bin2bn(Array(signature.prefix(32)), 32, nil)
        let s = BN_bin2bn(Array(signature.suffix(32)), 32, nil)
        OpenSSL.check(ECDSA_SIG_set0(parsed, r, s))
        return ECDSA_do_verify(digest, Int32(digest.count), parsed, key) == 1
    }

    private func read(_ bytes: [UInt8]) -> OpaquePointer? {
        let point = EC_POINT_new(group)
        OpenSSL.check(EC_POINT_oct2point(group, point, bytes, bytes.count, nil))
        return point
    }

    private func write(_ point: OpaquePointer?) -> [UInt8]? {
        if EC_POINT_is_at_infinity(group, point) == 1 { return nil }
        var output = [UInt8](repeating: 0, count: 33)
        precondition(EC_POINT_point2oct(group, point, POINT_CONVERSION_COMPRESSED, &output, 33, nil) == 33)
        return output
    }
}

extension OpenSSL {
    /// Arithmetic modulo a 32-byte number, 32 bytes out.
    enum Modular {
        static func add(_ first: [UInt8], _ second: [UInt8], modulo modulus: [UInt8]) -> [UInt8] {
            calculate(first, second, modulus) { BN_mod_add($0, $1, $2, $3, $4) }
        }

        static func multiply(_ first: [UInt8], _ second: [UInt8], modulo modulus: [UInt8]) -> [UInt8] {
            calculate(first, second, modulus) { BN_mod_mul($0, $1, $2, $3, $4) }
        }

        private static func calculate(
            _ first: [UInt8],
            _ second: [UInt8],
            _ modulus: [UInt8],
            _ operation: (OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?) -> Int32
        ) -> [UInt8] {
            let context = BN_CTX_new()
            defer { BN_CTX_free(context) }
            let terms: [[UInt8]] = [first, second, modulus]
            let numbers = terms.map { BN_bin2bn($0, Int32($0.count), nil) }
            let result = BN_new()
            defer { (numbers + [result]).forEach { BN_free($0) } }
            check(operation(result, numbers[0], numbers[1], numbers[2], context))
            var output = [UInt8](repeating: 0, count: 32)
            precondition(BN_bn2binpad(result, &output, 32) == 32)
            return output
        }
    }
}
