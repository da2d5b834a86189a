import Foundation
import TestSupport
import Testing

/// Every clause of `Specs/` has an id such as [CALL-3], and some test names it.
@Suite struct SpecsTests {
    private static let root = Fixtures.folder.deletingLastPathComponent()

    private func files(under folder: String, endings: [String]) throws -> [URL] {
        let enumerator = FileManager.default.enumerator(
            at: Self.root.appending(path: folder),
            includingPropertiesForKeys: nil
        )
        return (enumerator?.compactMap { $0 as? URL } ?? []).filter { endings.contains($0.pathExtension) }
    }

    @Test("No clause of the specifications is without a test that names it, and none is defined twice")
    func clausesAreTested() throws {
        let pages = try files(under: "Specs", endings: ["md"])
        #expect(pages.count >= 3)
        var defined: [String: Int] = [:]
        for page in pages {
            // A clause is defined where its id opens a paragraph, a list item or a table row.
            let definition = /^(?:[-*|] *)?\**\[([A-Z]{2,8}-[0-9]+)\]/.anchorsMatchLineEndings()
            for match in try String(contentsOf: page, encoding: .utf8).matches(of: definition) {
                defined[String(match.1), default: 0] += 1
            }
        }
        #expect(defined.count >= 20)
        #expect(defined.filter { $0.value > 1 }.keys.sorted() == [])
        let tests = try files(under: "Tests", endings: ["swift", "py"]).map {
            try String(contentsOf: $0, encoding: .utf8)
        }
        let untested = defined.keys.filter { id in !tests.contains { $0.contains(id) } }
        #expect(untested.sorted() == [])
    }
}
