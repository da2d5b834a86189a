import Cryptography
import TestSupport
import Testing

@Suite struct PointTests {
    typealias Point = Secp256k1.Point
    typealias Scalar = Secp256k1.Scalar

    struct DiffieHellmanCase: Decodable {
        let key: HexBytes
        let point: HexBytes
        let x: HexBytes
        let note: String
    }

    static let generator = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    static let generatorY = "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
    /// The field's prime p: no coordinate.
    static let prime = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"

    private static func randomScalar(_ random: inout SeededRandom) throws -> Scalar {
        try Scalar(reducing: random.bytes(32))
    }

    @Test func oneTimesTheGeneratorIsTheGenerator() throws {
        let point = Point(multiplyingGeneratorBy: try Scalar(bytes: hex(ScalarTests.one)))
        #expect(try point.compressed == hex("02" + Self.generator))
        #expect(try point.uncompressed == hex("04" + Self.generator + Self.generatorY))
        #expect(try point.xOnly == hex(Self.generator))
        #expect(point.hasEvenY)
        #expect(!point.negated().hasEvenY)
        #expect(try point.negated().compressed == hex("03" + Self.generator))
        let other = Point(multiplyingGeneratorBy: try Scalar(bytes: hex(ScalarTests.orderMinusOne)))
        #expect(other == point.negated())
    }

    @Test func bothProductsHoldWycheproof() throws {
        for vector in try Vectors<DiffieHellmanCase>.read("wycheproof/ecdh-secp256k1.json") {
            let point = try Point(uncompressed: vector.point.bytes)
            let key = try Scalar(bytes: vector.key.bytes)
            #expect(try point.multiplied(bySecret: key).xOnly == vector.x.bytes, "\(vector.note)")
            #expect(try point.multiplied(byPublic: key).xOnly == vector.x.bytes, "\(vector.note)")
        }
    }

    @Test func arithmeticAgreesWithOpenSSL() throws {
        let curve = OpenSSLCurve.secp256k1
        var random = SeededRandom(seed: 40)
        for _ in 0..<100 {
            let (a, b) = (try Self.randomScalar(&random), try Self.randomScalar(&random))
            let (p, q) = (Point(multiplyingGeneratorBy: a), Point(multiplyingGeneratorBy: b))
            #expect(p.compressed == curve.multiply(a.bytes))
            #expect(p.uncompressed == curve.uncompressed(p.compressed))
            #expect(p.negated().compressed == curve.negate(p.compressed))
            #expect(try p.adding(q).compressed == curve.add(p.compressed, q.compressed))
            #expect(try p.adding(p).compressed == curve.add(p.compressed, p.compressed))
            let minusQ = try #require(curve.negate(q.compressed) as [UInt8]?)
            #expect(try p.subtracting(q).compressed == curve.add(p.compressed, minusQ))
            let product = curve.multiply(b.bytes, point: p.compressed)
            #expect(try p.multiplied(byPublic: b).compressed == product)
            #expect(try p.multiplied(bySecret: b).compressed == product)
            #expect(try p.adding(publicMultipleOfGenerator: b) == p.adding(q))
            #expect(try Point.sum([p, q, p]) == p.adding(q).adding(p))
        }
    }

    @Test func productsByTheSmallestAndLargestScalarsAgree() throws {
        let curve = OpenSSLCurve.secp256k1
        var random = SeededRandom(seed: 41)
        let point = Point(multiplyingGeneratorBy: try Self.randomScalar(&random))
        let half = "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0"
        for text in [ScalarTests.one, String(repeating: "0", count: 63) + "2", half, ScalarTests.orderMinusOne] {
            let scalar = try Scalar(bytes: hex(text))
            let product = curve.multiply(scalar.bytes, point: point.compressed)
            #expect(try point.multiplied(byPublic: scalar).compressed == product)
            #expect(try point.multiplied(bySecret: scalar).compressed == product)
        }
    }

    @Test func theDoubleProductIsTheSumOfBoth() throws {
        let curve = OpenSSLCurve.secp256k1
        var random = SeededRandom(seed: 47)
        let edges = try [ScalarTests.one, ScalarTests.orderMinusOne].map { try Scalar(bytes: hex($0)) }
        for round in 0..<60 {
            let a = round < 2 ? edges[round] : try Self.randomScalar(&random)
            let b = round == 2 || round == 3 ? edges[round - 2] : try Self.randomScalar(&random)
            let point = Point(multiplyingGeneratorBy: try Self.randomScalar(&random))
            let product = try #require(curve.multiply(b.bytes, point: point.compressed) as [UInt8]?)
            let multiple = try #require(curve.multiply(a.bytes) as [UInt8]?)
            #expect(
                try point.multiplied(byPublic: b, addingPublicMultipleOfGenerator: a).compressed
                    == curve.add(product, multiple)
            )
        }
        // b·P = −a·G: infinity.
        let (k, b) = (try Self.randomScalar(&random), try Self.randomScalar(&random))
        let a = try k.multiplied(by: b).negated()
        #expect {
            try Point(multiplyingGeneratorBy: k).multiplied(byPublic: b, addingPublicMultipleOfGenerator: a)
        } throws: { error in
            (error as? CryptographyError)?.code == .invalidPoint
        }
    }

    /// Points whose x lies between the group order and the field's prime exist, and a peer can choose one.
    @Test func theDoubleProductTakesAnXAboveTheOrder() throws {
        let curve = OpenSSLCurve.secp256k1
        var random = SeededRandom(seed: 48)
        let (a, b) = (try Self.randomScalar(&random), try Self.randomScalar(&random))
        var found = 0
        for offset in 0..<UInt8(20) {
            var x = try hex(ScalarTests.order)
            x[31] += offset
            guard let point = Point(compressedOrNil: [3] + x) else { continue }
            let product = try #require(curve.multiply(b.bytes, point: point.compressed) as [UInt8]?)
            let multiple = try #require(curve.multiply(a.bytes) as [UInt8]?)
            #expect(
                try point.multiplied(byPublic: b, addingPublicMultipleOfGenerator: a).compressed
                    == curve.add(product, multiple)
            )
            found += 1
        }
        #expect(found > 3)
    }

    @Test func manyThreadsShareTheContext() async throws {
        let secret = try Scalar(bytes: hex(ScalarTests.orderMinusOne))
        let results = await withTaskGroup(of: [[UInt8]].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    (UInt8(1)...40).map { number in
                        var bytes = [UInt8](repeating: 0, count: 32)
                        bytes[31] = number
                        guard let scalar = try? Scalar(bytes: bytes) else { return [] }
                        let point = Point(multiplyingGeneratorBy: scalar)
                        let signature = Secp256k1.ECDSA.sign(digest: bytes, key: scalar)
                        return point.compressed + ((try? point.multiplied(bySecret: secret).compressed) ?? [])
                            + signature
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.count == 8)
        #expect(Set(results).count == 1)
        #expect(results[0].allSatisfy { $0.count == 33 + 33 + 64 })
    }

    @Test func blindingIsUndone() throws {
        var random = SeededRandom(seed: 42)
        for _ in 0..<20 {
            let (r, k) = (try Self.randomScalar(&random), try Self.randomScalar(&random))
            let secret = Point(multiplyingGeneratorBy: try Self.randomScalar(&random))
            let mintKey = Point(multiplyingGeneratorBy: k)
            let blinded = try secret.adding(Point(multiplyingGeneratorBy: r))
            let signed = try blinded.multiplied(bySecret: k)
            #expect(try signed.subtracting(mintKey.multiplied(bySecret: r)) == secret.multiplied(bySecret: k))
        }
    }

    @Test func infinityIsRefused() throws {
        var random = SeededRandom(seed: 43)
        let scalar = try Self.randomScalar(&random)
        let point = Point(multiplyingGeneratorBy: scalar)
        let attempts: [() throws -> Point] = [
            { try point.adding(point.negated()) },
            { try point.subtracting(point) },
            { try Point.sum([]) },
            { try Point.sum([point, point.negated()]) },
            { try point.negated().adding(publicMultipleOfGenerator: scalar) },
        ]
        for attempt in attempts {
            #expect { try attempt() } throws: { ($0 as? CryptographyError)?.code == .invalidPoint }
        }
    }

    @Test func readsExactlyThePointsThatOpenSSLReads() throws {
        let curve = OpenSSLCurve.secp256k1
        var random = SeededRandom(seed: 44)
        var read = 0
        for _ in 0..<400 {
            let candidate = [UInt8.random(in: 1...4, using: &random)] + random.bytes(32)
            let point = Point(compressedOrNil: candidate)
            #expect((point != nil) == curve.isPoint(candidate))
            if let point {
                #expect(point.compressed == candidate)
                #expect(try Point(uncompressed: point.uncompressed) == point)
                read += 1
            }
        }
        #expect(read > 50)
    }

    @Test func refusesWhatIsNoPoint() throws {
        let good = try hex("02" + Self.generator)
        let uncompressed = try hex("04" + Self.generator + Self.generatorY)
        var hybrid = uncompressed
        hybrid[0] = 6
        let bad: [[UInt8]] = [
            [], [0], [2], Array(good.dropLast()), good + [0], [0] + good.dropFirst(), [4] + good.dropFirst(),
            [5] + good.dropFirst(), try hex("02" + Self.prime), try hex("02" + ScalarTests.largest),
            try hex("02" + ScalarTests.zero), uncompressed, [UInt8](repeating: 0, count: 33),
        ]
        for bytes in bad {
            #expect(Point(compressedOrNil: bytes) == nil)
            #expect { try Point(compressed: bytes) } throws: { ($0 as? CryptographyError)?.code == .invalidPoint }
        }
        for bytes in [[], [4], good, hybrid, uncompressed + [0], [3] + uncompressed.dropFirst()]
            + flips(of: uncompressed)
        {
            #expect { try Point(uncompressed: bytes) } throws: { ($0 as? CryptographyError)?.code == .invalidPoint }
        }
        #expect(throws: CryptographyError.self) { try Point(xOnly: good) }
        #expect(throws: CryptographyError.self) { try Point(xOnly: hex(Self.prime)) }
    }

    @Test func liftsAnXToTheEvenPoint() throws {
        var random = SeededRandom(seed: 45)
        for _ in 0..<20 {
            let point = Point(multiplyingGeneratorBy: try Self.randomScalar(&random))
            let lifted = try Point(xOnly: point.xOnly)
            #expect(lifted.hasEvenY)
            #expect(lifted == (point.hasEvenY ? point : point.negated()))
        }
    }

    @Test("a table of multiples gives the products that multiplying gives")
    func tablesMultiply() throws {
        var random = SeededRandom(seed: 47)
        let table = try Secp256k1.PointTable(Point(multiplyingGeneratorBy: try Self.randomScalar(&random)))
        let generator = try #require(Secp256k1.PointTable.generator)
        let term = Point(multiplyingGeneratorBy: try Self.randomScalar(&random))
        let one = try Scalar(bytes: [UInt8](repeating: 0, count: 31) + [1])
        var scalars = [one, one.negated(), try Scalar(bytes: [1] + [UInt8](repeating: 0, count: 31))]
        for _ in 0..<20 { scalars.append(try Self.randomScalar(&random)) }
        for scalar in scalars {
            let product = try table.point.multiplied(byPublic: scalar)
            #expect(try table.multiplied(byPublic: scalar, adding: term) == product.adding(term))
            #expect(
                try generator.multiplied(byPublic: scalar, adding: table, multipliedByPublic: scalar)
                    == product.adding(Point(multiplyingGeneratorBy: scalar))
            )
            #expect(throws: CryptographyError.self) {
                try table.multiplied(byPublic: scalar, adding: product.negated())
            }
        }
    }

    @Test func equalPointsHashEqually() throws {
        var random = SeededRandom(seed: 46)
        let scalar = try Self.randomScalar(&random)
        let point = Point(multiplyingGeneratorBy: scalar)
        let again = try Point(compressed: point.compressed)
        // The same point by another way round.
        let summed = try point.adding(point).subtracting(point)
        #expect(Set([point, again, summed]).count == 1)
        #expect(Set([point, point.negated()]).count == 2)
        #expect(point != point.negated())
        #expect("\(point)".contains(Self.text(of: point)))
    }

    private static func text(of point: Point) -> String {
        point.compressed.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
