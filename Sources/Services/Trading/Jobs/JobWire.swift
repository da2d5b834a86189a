internal import CanonicalJSON
internal import Encodings
internal import Market

/// What travels between buyer and seller over HTTP ([JOB-2]), and how a request is kept.
enum JobWire {
    /// Of answers of other nodes, and of what is kept of requests.
    static let limits = JSONLimits(maximumBytes: 4 << 20, maximumDepth: 24, maximumValues: 16_384)

    static func json(_ request: JobRequest) -> JSONObject {
        var json: JSONObject = ["method": .string(request.method), "target": .string(request.target)]
        json["type"] = request.contentType.map { .string($0) }
        if !request.body.isEmpty { json["body"] = .string(Base64URL.encode(request.body)) }
        return json
    }

    /// - Throws: ``JobError`` `invalid-job`.
    static func request(_ value: JSONValue?) throws(JobError) -> JobRequest {
        guard let json = value?.objectValue, json.keys.allSatisfy(["method", "target", "type", "body"].contains),
            let method = json["method"]?.stringValue, (1...16).contains(method.utf8.count),
            method.utf8.allSatisfy({ (0x41...0x5A).contains($0) }), let target = json["target"]?.stringValue,
            target.hasPrefix("/"), target.utf8.count <= 2_048, target.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
            !target.contains("#")
        else { throw JobError(.invalid, "A job's request has a method in capitals and a target that begins with /.") }
        let type = json["type"]?.stringValue
        guard json["type"] == nil || type.map(isHeaderText) == true else {
            throw JobError(.invalid, "A content type has 1 to 255 printable characters.")
        }
        guard let text = json["body"] else {
            return JobRequest(method: method, target: target, contentType: type, body: [])
        }
        guard let encoded = text.stringValue, let body = try? Base64URL.decode(encoded),
            body.count <= JobRequest.maximumBodyBytes
        else { throw JobError(.invalid, "A body is base64url of \(JobRequest.maximumBodyBytes) bytes at most.") }
        return JobRequest(method: method, target: target, contentType: type, body: body)
    }

    private static func isHeaderText(_ text: String) -> Bool {
        (1...255).contains(text.utf8.count) && text.utf8.allSatisfy { (0x20...0x7E).contains($0) }
    }

    /// - Throws: ``JobError`` `invalid-job`, with what is wrong.
    static func signed<Content>(_ value: JSONValue?, _ name: String) throws(JobError) -> Signed<Content> {
        guard let object = value?.objectValue else { throw JobError(.invalid, "`\(name)` is missing.") }
        do {
            return try Signed(document: object)
        } catch {
            throw JobError(.invalid, "`\(name)`: \(error.message) (\(error.code.rawValue)).")
        }
    }
}
