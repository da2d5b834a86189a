// swift-tools-version: 6.2
// Fuzzing of what parses strangers' bytes. A package of its own: it links ground and domain only (the folders beside this
// file are links to the rooms), so that its build is small and nothing of it reaches the main package.
import PackageDescription

let house: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")

func room(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(name)", swiftSettings: house)
}

let package = Package(
    name: "fuzz",
    platforms: [.macOS(.v15)],
    dependencies: [.package(url: "https://github.com/apple/swift-crypto", from: "4.5.2")],
    targets: [
        .systemLibrary(name: "CSecp256k1", path: "Sources/CSecp256k1", pkgConfig: "libsecp256k1"),
        .systemLibrary(name: "CZlib", path: "Sources/CZlib", pkgConfig: "zlib"),
        room("Encodings", ["CZlib"]),
        room("CanonicalJSON", ["Encodings"]),
        room("Cryptography", ["Encodings", "CSecp256k1", crypto, cryptoExtras]),
        room("Cashu", ["Encodings", "CanonicalJSON", "Cryptography"]),
        room("Lightning", ["Encodings", "Cryptography"]),
        room("Ethereum", ["Encodings", "Cryptography"]),
        room("Paywall", ["Encodings", "CanonicalJSON", "Cryptography", "Cashu", "Lightning", "Ethereum"]),
        room("Libp2p", ["Encodings", "Cryptography", crypto]),
        room("SignedDocuments", ["Encodings", "CanonicalJSON", "Cryptography"]),
        room("Passports", ["Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments"]),
        room("Records", ["Encodings", "CanonicalJSON", "Cryptography", "SignedDocuments", "Passports"]),
        .executableTarget(
            name: "Fuzz",
            dependencies: [
                "Encodings", "CanonicalJSON", "Cryptography", "Cashu", "Lightning", "Ethereum", "Paywall", "Libp2p",
                "Records",
            ],
            path: "Sources/Fuzz",
            swiftSettings: house + [.unsafeFlags(["-parse-as-library"])]
        ),
    ],
    swiftLanguageModes: [.v6]
)
