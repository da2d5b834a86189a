public import CanonicalJSON
internal import Encodings
internal import HTTPTypes
public import Hummingbird
internal import NIOCore
internal import TransparencyLog

/// A witness over HTTP: C2SP tlog-witness, and what it has cosigned.
public struct WitnessRoutes: Sendable {
    private let witness: Witness

    public init(_ witness: Witness) {
        self.witness = witness
    }

    /// Adds `POST add-checkpoint`, and `GET checkpoint/<SHA-256 of the origin>`, `logs`, `alarms`, `vkey`, `health` and
    /// `metrics`.
    public func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        let witness = witness
        group.post("add-checkpoint") { request, _ in
            do {
                let body = try await request.body.collect(upTo: AddCheckpoint.maximumBytes)
                let asked = try AddCheckpoint(String(buffer: body))
                return Self.text(.ok, try await witness.add(asked).line)
            } catch let refusal as WitnessRefusal {
                if case .conflict(let size) = refusal.kind {
                    return Self.text(.conflict, "\(size)\n", type: "text/x.tlog.size")
                }
                return Self.text(.init(code: refusal.status), refusal.message + "\n")
            } catch let error as LogError {
                return Self.text(.badRequest, error.message + "\n")
            } catch is NIOTooManyBytesError {
                return Self.text(.contentTooLarge, "the body has at most \(AddCheckpoint.maximumBytes) bytes\n")
            }
        }
        group.get("checkpoint/:id") { _, context in
            let id = context.parameters.get("id")
            guard let note = try await witness.logs().first(where: { $0.id == id })?.cosigned else {
                return Self.text(.notFound, "no checkpoint of such a log is cosigned here\n")
            }
            return Self.text(.ok, note.string)
        }
        group.get("vkey") { _, _ in Self.text(.ok, "\(witness.verifierKey)\n") }
        group.get("health") { _, _ in
            _ = try await witness.alarms()
            return Self.text(.ok, #"{"status":"ok"}"#, type: "application/json")
        }
        group.get("logs") { _, _ in
            Self.json([
                "witness": .string("\(witness.verifierKey)"), "logs": .array(try await witness.logs().map(Self.shown)),
            ])
        }
        group.get("alarms") { _, _ in
            Self.json(["alarms": .array(try await witness.alarms().map(Self.shown))])
        }
        group.get("metrics") { _, _ in Self.text(.ok, try await metrics()) }
    }

    public static func shown(_ log: FollowedLog) -> JSONValue {
        var object: JSONObject = ["origin": .string(log.origin), "id": .string(log.id), "key": .string("\(log.key)")]
        object["url"] = log.url.map { .string($0) }
        if let latest = try? log.witnessed().latest {
            object["size"] = .integer(Int64(clamping: latest.size))
            object["root"] = .string(Base64.encode(latest.root))
            object["changedAt"] = .string(log.changedAt.rfc3339)
        }
        return .object(object)
    }

    public static func shown(_ alarm: WitnessAlarm) -> JSONValue {
        [
            "origin": .string(alarm.origin), "kind": .string(alarm.kind.rawValue), "message": .string(alarm.message),
            "at": .string(alarm.at.rfc3339), "known": .string(alarm.known), "shown": .string(alarm.shown),
        ]
    }

    /// Prometheus' text format.
    func metrics() async throws -> String {
        let alarms = try await witness.alarms()
        var lines = [
            "# HELP mintmark_witness_alarms_total Forks and rewinds that were found.",
            "# TYPE mintmark_witness_alarms_total counter",
            "mintmark_witness_alarms_total{kind=\"fork\"} \(alarms.count { $0.kind == .fork })",
            "mintmark_witness_alarms_total{kind=\"rewind\"} \(alarms.count { $0.kind == .rewind })",
            "# HELP mintmark_witness_log_size The size up to which a log was cosigned.",
            "# TYPE mintmark_witness_log_size gauge",
        ]
        for log in try await witness.logs() {
            let size = try log.witnessed().size
            lines.append("mintmark_witness_log_size{origin=\(log.origin.quoted)} \(size)")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func json(_ value: JSONValue) -> Response {
        text(.ok, String(decoding: value.serialized(), as: UTF8.self), type: "application/json")
    }

    private static func text(
        _ status: HTTPResponse.Status,
        _ text: String,
        type: String = "text/plain; charset=utf-8"
    ) -> Response {
        Response(
            status: status,
            headers: [.contentType: type, .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text))
        )
    }
}
