// swift-tools-version: 6.2
// The law of the house: four floors under Sources/, and who may import whom. No room imports upward;
// Ground and Domain touch no disk, socket or clock and import no package but those named in their lines.
import PackageDescription

let house: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

enum Floor: String { case ground = "Ground", domain = "Domain", services = "Services", node = "" }

func room(_ name: String, on floor: Floor, _ dependencies: [Target.Dependency]) -> Target {
    let folder = floor == .node ? "Sources/\(name)" : "Sources/\(floor.rawValue)/\(name)"
    return .target(name: name, dependencies: dependencies, path: folder, swiftSettings: house)
}

func tests(of name: String, on floor: Floor, _ dependencies: [Target.Dependency] = []) -> Target {
    let folder = floor == .node ? "Tests/\(name)" : "Tests/\(floor.rawValue)/\(name)"
    return .testTarget(
        name: "\(name)Tests",
        dependencies: [.target(name: name), "TestSupport"] + dependencies,
        path: folder,
        // In a release build too the tests themselves are made fast, not to be fast.
        swiftSettings: house + [.unsafeFlags(["-Onone"], .when(configuration: .release))]
    )
}

let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let sqlite: Target.Dependency = .product(name: "GRDBSQLite", package: "GRDB.swift")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioWebSocket: Target.Dependency = .product(name: "NIOWebSocket", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let httpClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore: Target.Dependency = .product(name: "HummingbirdCore", package: "hummingbird")
let hummingbirdHTTP2: Target.Dependency = .product(name: "HummingbirdHTTP2", package: "hummingbird")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let coreMetrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let unixSignals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let configuration: Target.Dependency = .product(name: "Configuration", package: "swift-configuration")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "mintmark",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "mintmark", targets: ["mintmark"]),
        .library(name: "Encodings", targets: ["Encodings"]),
        .library(name: "CanonicalJSON", targets: ["CanonicalJSON"]),
        .library(name: "Cryptography", targets: ["Cryptography"]),
        .library(name: "SignedDocuments", targets: ["SignedDocuments"]),
        .library(name: "Passports", targets: ["Passports"]),
        .library(name: "Delegation", targets: ["Delegation"]),
        .library(name: "HTTPSignatures", targets: ["HTTPSignatures"]),
        .library(name: "Receipts", targets: ["Receipts"]),
        .library(name: "Cashu", targets: ["Cashu"]),
        .library(name: "Lightning", targets: ["Lightning"]),
        .library(name: "Ledger", targets: ["Ledger"]),
        .library(name: "Liabilities", targets: ["Liabilities"]),
        .library(name: "TransparencyLog", targets: ["TransparencyLog"]),
        .library(name: "Ethereum", targets: ["Ethereum"]),
        .library(name: "Paywall", targets: ["Paywall"]),
        .library(name: "Libp2p", targets: ["Libp2p"]),
        .library(name: "Records", targets: ["Records"]),
        .library(name: "Market", targets: ["Market"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(
            url: "https://github.com/swift-server/async-http-client",
            from: "1.37.0",
            // What an upstream reports in trailers is read through an interface that the library still calls unstable.
            traits: ["UnstableHTTPAPIsSupport"]
        ),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(
            url: "https://github.com/apple/swift-configuration",
            from: "1.4.0",
            traits: [.defaults, "CommandLineArguments"]
        ),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        // Ground: bytes and numbers.
        .systemLibrary(
            name: "CSecp256k1",
            path: "Sources/Ground/CSecp256k1",
            pkgConfig: "libsecp256k1",
            providers: [.apt(["libsecp256k1-dev"])]
        ),
        .systemLibrary(
            name: "CZlib",
            path: "Sources/Ground/CZlib",
            pkgConfig: "zlib",
            providers: [.apt(["zlib1g-dev"])]
        ),
        room("Encodings", on: .ground, ["CZlib"]),
        room("CanonicalJSON", on: .ground, ["Encodings"]),
        room("Cryptography", on: .ground, ["Encodings", "CSecp256k1", crypto, cryptoExtras]),

        // Domain: what is true.
        room("SignedDocuments", on: .domain, ["Encodings", "CanonicalJSON", "Cryptography"]),
        room("Passports", on: .domain, ["Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments"]),
        room("Delegation", on: .domain, ["Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments"]),
        room("HTTPSignatures", on: .domain, ["Encodings", "Cryptography", "SignedDocuments"]),
        room("Receipts", on: .domain, ["Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments"]),
        room("Cashu", on: .domain, ["Encodings", "CanonicalJSON", "Cryptography"]),
        room("Lightning", on: .domain, ["Encodings", "Cryptography"]),
        room("Ethereum", on: .domain, ["Encodings", "Cryptography"]),
        room("Ledger", on: .domain, ["Encodings"]),
        room("Libp2p", on: .domain, ["Encodings", "Cryptography", crypto]),
        // GossipSub's engines under a made-up clock and network: for tests and for GossipSimulator.
        room("GossipSimulation", on: .domain, ["Libp2p", "Cryptography"]),
        room("TransparencyLog", on: .domain, ["Encodings", "Cryptography"]),
        room("Records", on: .domain, ["Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports"]),
        room(
            "Market",
            on: .domain,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "Records", "Receipts",
                "Cashu",
            ]
        ),
        room("Liabilities", on: .domain, ["Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments"]),
        room(
            "Paywall",
            on: .domain,
            ["Encodings", "CanonicalJSON", "Cryptography", "Cashu", "Lightning", "Ethereum"]
        ),

        // Services: what is done.
        room("Workers", on: .services, [nioCore, nioPosix]),
        room("P2PTransport", on: .services, ["Encodings", "Libp2p", "Cryptography", nioCore, nioPosix, logging]),
        room(
            "Gossip",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "Records", "Libp2p",
                "P2PTransport", "Storage", logging,
            ]
        ),
        room(
            "Trading",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "TransparencyLog",
                "Records",
                "Receipts", "Cashu", "Market", "Gossip", "Wallet", "Storage", "WebClient", httpClient, nioCore, logging,
            ]
        ),
        room("WebClient", on: .services, [httpClient, nioCore, nioPosix, nioHTTP1]),
        room(
            "WebServer",
            on: .services,
            [hummingbirdCore, hummingbirdHTTP2, nioCore, nioHTTP1, nioWebSocket, nioTLS, nioSSL, logging]
        ),
        room("Storage", on: .services, ["Encodings", "Cryptography", "Ledger", grdb, sqlite, logging]),
        room(
            "Peering",
            on: .services,
            ["Encodings", "Libp2p", "P2PTransport", "Storage", nioCore, nioPosix, logging, metrics]
        ),
        room(
            "AuditLog",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "TransparencyLog", "Storage", "WebClient", httpClient,
                hummingbird, httpTypes, nioCore, logging,
            ]
        ),
        room(
            "Identity",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "HTTPSignatures",
                "Delegation", "TransparencyLog", "Storage", "WebClient", httpClient, hummingbird, httpTypes, nioCore,
                nioHTTP1, logging,
            ]
        ),
        room(
            "Budgets",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "Delegation", "Storage",
                "Identity", "WebClient", httpClient, hummingbird, httpTypes, nioCore, logging,
            ]
        ),
        room(
            "LightningBackends",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "Ledger", "Lightning", "Storage", "WebClient",
                "WebServer", httpClient, hummingbird, hummingbirdCore, httpTypes, nioCore, nioPosix, nioHTTP1, nioSSL,
                logging,
            ]
        ),
        room(
            "Mint",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Cashu", "Lightning", "Ledger",
                "Liabilities", "Storage", "Workers", "WebServer", httpClient, hummingbird, httpTypes, nioCore, nioHTTP1,
                logging, metrics,
            ]
        ),
        room(
            "Vault",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "TransparencyLog",
                "Cashu", "Identity", "Mint", "Storage", "Workers", nioCore, nioPosix, logging,
            ]
        ),
        room(
            "Wallet",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "Cashu", "Lightning", "Ledger", "Liabilities", "Ethereum",
                "Paywall", "Receipts", "SignedDocuments", "Storage", "WebClient", httpClient, nioCore, nioPosix,
                nioHTTP1,
                nioWebSocket, nioSSL, logging,
            ]
        ),
        room(
            "Settlement",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "Ethereum", "Paywall", "Storage", "WebClient", httpClient,
                hummingbird, httpTypes, nioCore, nioPosix, nioHTTP1, logging,
            ]
        ),
        room(
            "Gateway",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "HTTPSignatures",
                "Records", "Market", "Receipts", "Cashu", "Lightning", "Ledger", "Paywall", "Storage", "Workers",
                "WebClient", "WebServer",
                "Identity", "Delegation", "Budgets", "Wallet", "Ethereum", "Settlement", httpClient, hummingbird,
                httpTypes, nioCore, nioHTTP1,
                nioPosix, nioWebSocket, nioSSL, logging, metrics,
            ]
        ),

        // Node: how it runs.
        room(
            "Node",
            on: .node,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "HTTPSignatures",
                "Receipts", "Cashu", "Lightning", "Ledger", "Paywall", "Storage", "Workers", "WebServer", "Identity",
                "LightningBackends", "Mint", "Wallet", "Gateway", "Settlement", "AuditLog", "TransparencyLog",
                "Ethereum", "Delegation", "Budgets", "Vault", "WebClient", "Libp2p", "P2PTransport", "Peering",
                "Records", "Gossip", "Market", "Trading", httpClient,
                hummingbird, hummingbirdCore,
                httpTypes, nioCore, nioPosix, nioSSL, logging, coreMetrics, lifecycle, unixSignals, configuration,
            ]
        ),
        .executableTarget(
            name: "mintmark",
            dependencies: [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "HTTPSignatures",
                "Receipts", "TransparencyLog", "Delegation",
                "Cashu", "Storage", "Identity", "LightningBackends", "Node", "Vault", "WebServer", httpClient,
                hummingbird, nioCore, nioPosix, nioHTTP1, logging, lifecycle, unixSignals, argumentParser,
            ],
            path: "Sources/mintmark",
            swiftSettings: house
        ),
        .executableTarget(
            name: "GossipPeer",
            dependencies: ["Encodings", "Cryptography", "Libp2p", "P2PTransport", "Records", nioPosix, logging],
            path: "Sources/GossipPeer",
            swiftSettings: house
        ),
        .executableTarget(
            name: "RecordPeer",
            dependencies: [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Libp2p", "P2PTransport", "Peering",
                "Records", "Gossip", "Storage", logging,
            ],
            path: "Sources/RecordPeer",
            swiftSettings: house
        ),
        .executableTarget(
            name: "SchemaPeer",
            dependencies: ["CanonicalJSON", "Market"],
            path: "Sources/SchemaPeer",
            swiftSettings: house
        ),
        .executableTarget(
            name: "GossipSimulator",
            dependencies: ["CanonicalJSON", "GossipSimulation", argumentParser],
            path: "Sources/GossipSimulator",
            swiftSettings: house
        ),
        .executableTarget(
            name: "Benchmarks",
            dependencies: [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "Delegation", "Cashu",
                "Lightning", "LightningBackends", "Storage", "Workers", "Mint", "Wallet", "Gateway", "Node", "Paywall",
                "Ethereum", "Settlement", "Budgets", "TransparencyLog", "AuditLog", "Identity", "HTTPSignatures",
                "Vault", "Records", "Libp2p", "P2PTransport", "Gossip", "Market", "Trading", "WebServer", httpClient,
                hummingbird, httpTypes, nioCore,
                nioPosix, nioHTTP1, logging,
            ],
            path: "Sources/Benchmarks",
            swiftSettings: house
        ),

        // Tests mirror the floors; COpenSSL is the second implementation every primitive is held against.
        .systemLibrary(
            name: "COpenSSL",
            path: "Tests/Support/COpenSSL",
            pkgConfig: "libcrypto",
            providers: [.apt(["libssl-dev"])]
        ),
        .target(
            name: "CFaultyDisk",
            path: "Tests/Support/CFaultyDisk",
            linkerSettings: [.linkedLibrary("sqlite3")]
        ),
        .target(name: "CTestWidth", path: "Tests/Support/CTestWidth"),
        .target(name: "CTerminal", path: "Tests/Support/CTerminal"),
        .target(
            name: "TestSupport",
            dependencies: ["CTestWidth"],
            path: "Tests/Support/TestSupport",
            swiftSettings: house
        ),
        .target(
            name: "FieldSweeps",
            dependencies: ["CanonicalJSON", "Encodings"],
            path: "Tests/Support/FieldSweeps",
            swiftSettings: house
        ),
        .target(
            name: "TestSockets",
            dependencies: [nioCore, nioPosix],
            path: "Tests/Support/TestSockets",
            swiftSettings: house
        ),
        tests(of: "Encodings", on: .ground, ["CanonicalJSON"]),
        tests(of: "CanonicalJSON", on: .ground, ["Encodings", "COpenSSL"]),
        tests(of: "Cryptography", on: .ground, ["Encodings", "COpenSSL", "CanonicalJSON"]),
        tests(of: "SignedDocuments", on: .domain, ["Encodings", "CanonicalJSON", "Cryptography"]),
        tests(
            of: "Passports",
            on: .domain,
            ["Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "FieldSweeps"]
        ),
        tests(
            of: "Delegation",
            on: .domain,
            ["Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "FieldSweeps"]
        ),
        tests(of: "HTTPSignatures", on: .domain, ["Encodings", "Cryptography", "SignedDocuments"]),
        tests(
            of: "Receipts",
            on: .domain,
            ["Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "FieldSweeps"]
        ),
        tests(of: "Cashu", on: .domain, ["Encodings", "CanonicalJSON", "Cryptography"]),
        tests(of: "TransparencyLog", on: .domain, ["Encodings", "Cryptography", "FieldSweeps"]),
        tests(
            of: "Records",
            on: .domain,
            ["Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports"]
        ),
        tests(
            of: "Market",
            on: .domain,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "Records", "Receipts",
                "Cashu",
            ]
        ),
        tests(of: "Liabilities", on: .domain, ["Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments"]),
        tests(of: "Lightning", on: .domain, ["Encodings", "Cryptography"]),
        tests(of: "Ethereum", on: .domain, ["Encodings", "CanonicalJSON", "Cryptography"]),
        tests(of: "Ledger", on: .domain, ["Encodings"]),
        tests(of: "Libp2p", on: .domain, ["Encodings", "Cryptography", "GossipSimulation"]),
        tests(of: "GossipSimulation", on: .domain, ["Libp2p"]),
        tests(
            of: "Paywall",
            on: .domain,
            ["Encodings", "CanonicalJSON", "Cryptography", "Cashu", "Lightning", "Ethereum"]
        ),
        tests(
            of: "P2PTransport",
            on: .services,
            ["Libp2p", "Encodings", "Cryptography", "TestSockets", nioCore, nioPosix, logging]
        ),
        tests(
            of: "Peering",
            on: .services,
            [
                "Libp2p", "P2PTransport", "Encodings", "Cryptography", "Storage", "TestSockets", nioCore, nioPosix,
                logging,
            ]
        ),
        tests(
            of: "Gossip",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "Records", "Libp2p",
                "P2PTransport", "Storage", nioPosix, logging,
            ]
        ),
        tests(
            of: "Trading",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "TransparencyLog",
                "Records", "Receipts", "Cashu", "Market", "Gossip", "Storage", "Wallet", httpClient, nioCore, nioPosix,
                logging,
            ]
        ),
        tests(
            of: "WebServer",
            on: .services,
            [
                "TestSockets", hummingbird, hummingbirdCore, httpTypes, nioCore, nioPosix, nioHTTP1, nioWebSocket,
                nioEmbedded, logging,
            ]
        ),
        tests(of: "Storage", on: .services, ["Encodings", "Ledger", "CFaultyDisk", logging]),
        tests(
            of: "AuditLog",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "TransparencyLog", "Storage", hummingbird, httpTypes,
                nioCore, logging,
            ]
        ),
        tests(
            of: "Budgets",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "Delegation", "Storage",
                "Identity", hummingbird, httpTypes, httpClient, nioCore, logging,
            ]
        ),
        tests(
            of: "Identity",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "HTTPSignatures",
                "Delegation", "Storage", "WebServer",
                hummingbird, httpTypes, httpClient, nioCore, nioHTTP1, logging,
            ]
        ),
        tests(
            of: "LightningBackends",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "Lightning", "Storage", httpClient, nioCore, nioPosix,
                nioHTTP1, logging,
            ]
        ),
        tests(
            of: "Mint",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Cashu", "Lightning",
                "LightningBackends", "Ledger", "Liabilities", "Storage", "Workers", "WebServer", "TestSockets", "Vault",
                "Identity", hummingbird, hummingbirdCore, httpClient, nioCore, nioPosix, nioHTTP1, logging,
            ]
        ),
        tests(
            of: "Vault",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "TransparencyLog", "Delegation",
                "Passports", "Receipts", "Cashu", "Identity", "Mint", "Storage", "Workers", nioCore, nioPosix, logging,
            ]
        ),
        tests(
            of: "Wallet",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "Cashu", "Lightning", "LightningBackends", "Ledger",
                "Liabilities", "Ethereum", "Paywall", "SignedDocuments", "Storage", "Workers", "Mint", "WebServer",
                "Receipts", hummingbird, hummingbirdCore, httpClient, nioCore, nioPosix, nioHTTP1, nioWebSocket, nioSSL,
                logging,
            ]
        ),
        tests(
            of: "Settlement",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "Ethereum", "Paywall", "Storage", "WebServer",
                hummingbird, httpTypes, httpClient, nioCore, nioHTTP1, logging,
            ]
        ),
        tests(
            of: "Gateway",
            on: .services,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "HTTPSignatures",
                "Receipts", "Cashu", "Lightning", "LightningBackends", "Ledger", "Paywall", "Storage", "Workers",
                "Mint", "Wallet", "Identity", "Delegation", "Budgets", "Ethereum", "Settlement", "WebServer",
                "TestSockets",
                crypto, hummingbird,
                hummingbirdCore, httpTypes, httpClient, nioCore, nioHTTP1, nioPosix, logging,
            ]
        ),
        tests(
            of: "Node",
            on: .node,
            [
                "Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports", "HTTPSignatures",
                "Receipts", "Cashu", "Lightning", "LightningBackends", "Storage", "Wallet", "Gateway", "Identity",
                "Delegation", "Budgets", "TransparencyLog", "AuditLog", "Settlement", "CFaultyDisk", "CTerminal",
                "mintmark",
                "Libp2p",
                "P2PTransport", "Peering", "WebServer", grdb,
                hummingbird, httpClient, logging,
                httpTypes, nioCore, nioPosix, nioHTTP1, nioSSL,
            ]
        ),
    ],
    swiftLanguageModes: [.v6]
)
