import Encodings
import Testing

@testable import Market

@Suite("URLs of listings")
struct ListingURLTests {
    @Test(
        "[LST-4] [LST-5] Hosts in their usual notation, with how far away they are",
        arguments: [
            ("https://node.example", IPReach.internet), ("https://node.example:8402/s/weather", .internet),
            ("https://xn--bcher-kva.example/", .internet), ("https://198.51.100.7/", .internet),
            ("https://[2606:4700::1]:443/x", .internet), ("https://10.0.0.1/", .network),
            ("https://192.168.1.2:1/", .network), ("https://[fd00::1]/", .network), ("https://intranet/", .network),
            ("https://printer.local/", .network), ("https://a.internal", .network), ("https://a.home.arpa", .network),
            ("https://localhost:8402/", .machine), ("http://localhost:8402/s/a", .machine),
            ("http://127.0.0.1:8402/s/a", .machine), ("http://[::1]/", .machine), ("http://a.localhost/", .machine),
        ]
    )
    func good(_ text: String, _ reach: IPReach) {
        #expect(ListingURL(text)?.reach == reach)
        #expect(ListingURL(text)?.text == text)
    }

    @Test(
        "[LST-4] What is of another form is no URL of a listing",
        arguments: [
            "", "node.example", "ftp://node.example", "HTTPS://node.example", "http://node.example/",
            "http://10.0.0.1/",
            "https://Node.example/", "https://user@node.example/", "https://node.example/?q=1",
            "https://node.example/#a",
            "https://", "https:///s", "https://node.example:0/", "https://node.example:65536/",
            "https://node.example:/",
            "https://node.example:080/", "https://0x7f.1/", "https://2130706433/", "https://127.1/",
            "https://1.2.3.4.5/",
            "https://0.0.0.0/", "https://224.0.0.1/", "https://255.255.255.255/", "https://[::]/", "https://[fe80::1]/",
            "https://[::ffff:127.0.0.1]/", "https://[2002:7f00:1::]/", "https://[2001:0:1::]/", "https://[::1",
            "https://[::1]x/",
            "https://a..example/", "https://-a.example/", "https://a-.example/", "https://a_b.example/",
            "https://node.example./",
            "https://node.example/ b", "https://node.example/ü", "https://node.example/\u{7F}",
            "https://node.example\\@x/",
            "https://node.example/\"", "https://" + String(repeating: "a", count: 64) + ".example/",
            "https://node.example/" + String(repeating: "a", count: 492),
        ]
    )
    func bad(_ text: String) {
        #expect(ListingURL(text) == nil)
    }

    @Test("[LST-5] Where local addresses are not allowed, a listing keeps the others")
    func local() throws {
        let urls = ["https://node.example/", "https://10.0.0.1/", "http://localhost/"].compactMap { ListingURL($0) }
        let listing = Listing(urls: urls, prices: [])
        #expect(listing.urls(allowingLocal: true) == urls)
        #expect(listing.urls(allowingLocal: false) == [urls[0]])
    }
}
