import COpenSSL

/// A second implementation, written by others, that every primitive is held against. Test code: it traps where OpenSSL
/// refuses what it must accept.
enum OpenSSL {
    static func digest(_ name: String, _ message: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 64)
        var length: UInt32 = 0
        check(EVP_Digest(message, message.count, &output, &length, EVP_get_digestbyname(name), nil))
        return Array(output.prefix(Int(length)))
    }

    static func hmac(_ name: String, key: [UInt8], _ message: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 64)
        var length: UInt32 = 0
        let result = HMAC(
            EVP_get_digestbyname(name),
            key,
            Int32(key.count),
            message,
            message.count,
            &output,
            &length
        )
        precondition(result != nil)
        return Array(output.prefix(Int(length)))
    }

    static func hkdfSHA256(_ secret: [UInt8], salt: [UInt8], info: [UInt8], count: Int) -> [UInt8] {
        let context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nil)
        defer { EVP_PKEY_CTX_free(context) }
        check(EVP_PKEY_derive_init(context))
        check(EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()))
        check(EVP_PKEY_CTX_set1_hkdf_salt(context, salt, Int32(salt.count)))
        check(EVP_PKEY_CTX_set1_hkdf_key(context, secret, Int32(secret.count)))
        check(EVP_PKEY_CTX_add1_hkdf_info(context, info, Int32(info.count)))
        var output = [UInt8](repeating: 0, count: count)
        var length = count
        check(EVP_PKEY_derive(context, &output, &length))
        return output
    }

    static func scrypt(_ password: [UInt8], salt: [UInt8], n: Int, r: Int, p: Int, count: Int) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: count)
        let status = password.withUnsafeBytes { password in
            EVP_PBE_scrypt(
                password.baseAddress?.assumingMemoryBound(to: CChar.self),
                password.count,
                salt,
                salt.count,
                UInt64(n),
                UInt64(r),
                UInt64(p),
                1 << 28,
                &output,
                count
            )
        }
        check(status)
        return output
    }

    static func pbkdf2SHA512(_ password: [UInt8], salt: [UInt8], rounds: Int, count: Int) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: count)
        let status = password.withUnsafeBytes { password in
            PKCS5_PBKDF2_HMAC(
                password.baseAddress?.assumingMemoryBound(to: CChar.self),
                Int32(password.count),
                salt,
                Int32(salt.count),
                Int32(rounds),
                EVP_sha512(),
                Int32(count),
                &output
            )
        }
        check(status)
        return output
    }

    /// ChaCha20-Poly1305: ciphertext‖tag.
    static func chachaSeal(_ plaintext: [UInt8], key: [UInt8], nonce: [UInt8], context data: [UInt8]) -> [UInt8] {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        check(EVP_EncryptInit_ex(context, EVP_chacha20_poly1305(), nil, key, nonce))
        var length: Int32 = 0
        if !data.isEmpty {
            check(EVP_EncryptUpdate(context, nil, &length, data, Int32(data.count)))
        }
        var output = [UInt8](repeating: 0, count: plaintext.count + 16)
        if !plaintext.isEmpty {
            check(EVP_EncryptUpdate(context, &output, &length, plaintext, Int32(plaintext.count)))
        }
        var rest: [UInt8] = [0]
        check(EVP_EncryptFinal_ex(context, &rest, &length))
        var tag = [UInt8](repeating: 0, count: 16)
        check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, &tag))
        return output.prefix(plaintext.count) + tag
    }

    // MARK: Ed25519

    static func ed25519PublicKey(seed: [UInt8]) -> [UInt8] {
        let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, seed, seed.count)
        defer { EVP_PKEY_free(key) }
        var output = [UInt8](repeating: 0, count: 32)
        var length = 32
        check(EVP_PKEY_get_raw_public_key(key, &output, &length))
        return output
    }

    static func ed25519Sign(_ message: [UInt8], seed: [UInt8]) -> [UInt8] {
        let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, seed, seed.count)
        defer { EVP_PKEY_free(key) }
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        check(EVP_DigestSignInit(context, nil, nil, nil, key))
        var output = [UInt8](repeating: 0, count: 64)
        var length = 64
        check(EVP_DigestSign(context, &output, &length, message, message.count))
        return output
    }

    static func ed25519IsValid(signature: [UInt8], for message: [UInt8], publicKey: [UInt8]) -> Bool {
        guard let key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, publicKey, publicKey.count) else {
            return false
        }
        defer { EVP_PKEY_free(key) }
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        check(EVP_DigestVerifyInit(context, nil, nil, nil, key))
        return EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
    }

    static func check(_ status: Int32) {
        precondition(status == 1, "OpenSSL refused what it must accept")
    }
}
