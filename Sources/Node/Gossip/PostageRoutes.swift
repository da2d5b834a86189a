internal import CanonicalJSON
internal import Gossip
internal import Hummingbird
internal import NIOCore
internal import Records
internal import SignedDocuments
internal import Storage

/// The entry node: where records are stamped that were paid for, and what the operator sells for it ([PST-1]).
struct PostageRoutes: Sendable {
    let records: RecordsPart
    let publicURL: String

    func addPublic<Context: RequestContext>(to router: some RouterMethods<Context>) {
        router.post("\(PostOffice.path)/:amount/:unit/:code") { request, context in
            await OperatorResponses.answering {
                guard let postage = Self.postage(context.parameters.get("amount"), context.parameters.get("unit")),
                    let code = context.parameters.get("code"), records.postOffice.admits(code, for: postage)
                else { throw ProblemDetails(code: "not-found", title: "Not found", status: 404) }
                return try await stamp(request, postage)
            }
        }
    }

    func addOperator<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("gossip/postage") { request, _ in
            await OperatorResponses.answering {
                let query = request.uri.queryParameters
                guard let postage = Self.postage(query["amount"].map(String.init), query["unit"].map(String.init))
                else {
                    throw ProblemDetails(
                        code: "invalid-request",
                        title: "That is no postage",
                        status: 400,
                        detail: "postage is 1 to \(PostOffice.maximumAmount) of a unit such as sat"
                    )
                }
                return ["upstream": .string(publicURL + records.postOffice.path(postage))]
            }
        }
    }

    private static func postage(_ amount: String?, _ unit: String?) -> PostOffice.Postage? {
        guard let amount, let number = UInt64(amount), String(number) == amount, let unit else { return nil }
        return PostOffice.Postage(amount: number, unit: unit)
    }

    private func stamp(_ request: Request, _ postage: PostOffice.Postage) async throws -> JSONValue {
        let bytes: [UInt8]
        do {
            bytes = try await [UInt8](request.body.collect(upTo: RecordEnvelope.maximumBytes).readableBytesView)
        } catch is NIOTooManyBytesError {
            throw RecordRefusal(.tooLarge, "what travels has at most \(RecordEnvelope.maximumBytes) bytes")
        }
        let (envelope, peers) = try await records.post(bytes, postage)
        guard let stamp = envelope.stamp else { throw RecordRefusal(.unavailable, "no stamp was made") }
        return ["stamp": .object(stamp.document), "peers": .integer(Int64(peers))]
    }
}
