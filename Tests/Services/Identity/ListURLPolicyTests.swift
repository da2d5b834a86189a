import Testing

@testable import Identity

@Suite("Where lists are fetched from")
struct ListURLPolicyTests {
    @Test(
        "[STAT-9] public hosts over https",
        arguments: [
            "https://node.example/status/1", "https://node.example:8443/status/1", "https://8.8.8.8/status/1",
            "https://[2606:4700::1111]/status/1", "https://a-b.example.org./x", "https://10.example/x",
        ]
    )
    func allowed(url: String) {
        #expect(ListURLPolicy(allowsLocal: false).refusal(url) == nil)
    }

    @Test(
        "[STAT-9] not plain http, loopback, private or oddly written addresses",
        arguments: [
            "http://node.example/status/1", "http://127.0.0.1/status/1", "https://127.0.0.1/1", "https://localhost/1",
            "https://LOCALHOST:80/1", "https://x.localhost/1", "https://[::1]/1", "https://[::ffff:127.0.0.1]/1",
            "https://10.0.0.1/1", "https://172.16.0.1/1", "https://192.168.1.1/1", "https://169.254.169.254/latest",
            "https://100.64.0.1/1", "https://0.0.0.0/1", "https://224.0.0.1/1", "https://2130706433/1",
            "https://0x7f000001/1",
            "https://0177.0.0.1/1", "https://127.1/1", "https://127.0.0.1./1", "https://[fd00::1]/1",
            "https://[fe80::1]/1",
            "https://[2002:7f00:1::]/1", "https://[2001:0:1::]/1", "https://[2001:0000:7f00:1::]/1",
            "https://198.18.0.1/1", "https://user@node.example/1",
            "https://user:x@8.8.8.8/1",
            "ftp://node.example/1", "https:///1", "node.example/1", "", "https://256.1.1.1/1", "https://[]/1",
        ]
    )
    func refused(url: String) {
        #expect(ListURLPolicy(allowsLocal: false).refusal(url) != nil)
    }

    @Test("[STAT-9] where local lists are allowed: plain http on loopback, and nowhere else")
    func local() {
        let policy = ListURLPolicy(allowsLocal: true)
        #expect(policy.refusal("http://127.0.0.1:8402/status/1") == nil)
        #expect(policy.refusal("http://localhost:8402/status/1") == nil)
        #expect(policy.refusal("http://[::1]:8402/status/1") == nil)
        #expect(policy.refusal("https://10.0.0.1/status/1") == nil)
        #expect(policy.refusal("http://10.0.0.1/status/1") != nil)
        #expect(policy.refusal("http://node.example/status/1") != nil)
        #expect(policy.refusal("http://127.evil.example/status/1") != nil)
    }
}
