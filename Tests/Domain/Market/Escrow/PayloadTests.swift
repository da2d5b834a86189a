import Encodings
import TestSupport
import Testing

@testable import Market

@Suite struct JobPayloadTests {
    @Test("[ESC-7] A request's digest tells its parts apart, and an answer is read back; one cut off is refused")
    func payloads() throws {
        let one = JobRequest(method: "GET", target: "/ab", contentType: "c", body: [])
        #expect(one.digest != JobRequest(method: "GET", target: "/a", contentType: "bc", body: []).digest)
        #expect(one.digest == JobRequest(method: "GET", target: "/ab", contentType: "c", body: []).digest)
        for type in [nil, "text/plain"] as [String?] {
            let answer = try JobResponse(status: 200, contentType: type, body: [1, 2, 3])
            #expect(try JobResponse(bytes: answer.bytes) == answer)
        }
        #expect(code { _ = try JobResponse(bytes: [0]) } == .malformed)
        #expect(code { _ = try JobResponse(bytes: [0, 200, 9, 1]) } == .malformed)
        #expect(code { _ = try JobResponse(bytes: [0, 1, 0]) } == .malformed)
        let large = [UInt8](repeating: 0, count: JobResponse.maximumBodyBytes + 1)
        #expect(code { _ = try JobResponse(status: 200, contentType: nil, body: large) } == .tooLarge)
    }

    @Test("[ESC-7] A seal opens with its key, job and piece alone")
    func seals() throws {
        let job = [UInt8](repeating: 1, count: 32)
        let key = DeliverySeal.key(secret: [UInt8](repeating: 2, count: 32), job: job, index: 0)
        #expect(key != DeliverySeal.key(secret: [UInt8](repeating: 2, count: 32), job: job, index: 1))
        let sealed = try DeliverySeal.seal([7], key: key, job: job, index: 0)
        #expect(try DeliverySeal.open(sealed, key: key, job: job, index: 0) == [7])
        #expect((try? DeliverySeal.open(sealed, key: key, job: job, index: 1)) == nil)
        #expect((try? DeliverySeal.open(sealed, key: key, job: [UInt8](repeating: 3, count: 32), index: 0)) == nil)
    }
}
