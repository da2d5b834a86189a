import CanonicalJSON
import Encodings
import Hummingbird

extension IdentityRoutes {
    /// `recover`, `export`, `import` and `history`.
    func addMovingRoutes<Context: RequestContext>(to group: some RouterMethods<Context>) {
        group.post("/agents/import") { request, _ in
            await RouteAnswers.answering {
                let body = try await RouteAnswers.body(request)
                let passphrase = Array(try body.string("passphrase").utf8)
                return try await issued(
                    try await service.registry.importAgent(try body.string("export"), passphrase: passphrase),
                    status: .created
                )
            }
        }
        group.post("/agents/:id/recover") { request, context in
            await RouteAnswers.answering {
                let body = try await RouteAnswers.body(request)
                return try await issued(
                    try await service.registry.recover(
                        try context.parameters.require("id"),
                        key: try ownKey(body),
                        since: try RouteAnswers.instant(body, "since")
                    ),
                    status: .ok
                )
            }
        }
        group.post("/agents/:id/export") { request, context in
            await RouteAnswers.answering {
                let body = try await RouteAnswers.body(request)
                let sealed = try await service.registry.export(
                    try context.parameters.require("id"),
                    to: try Self.did(try body.string("to"), "to"),
                    passphrase: Array(try body.string("passphrase").utf8)
                )
                return RouteAnswers.json(["export": .string(sealed)])
            }
        }
        group.get("/agents/:id/history") { _, context in
            await RouteAnswers.answering {
                let passports = try await service.registry.history(try context.parameters.require("id"))
                return RouteAnswers.json(["passports": .array(passports)])
            }
        }
    }
}
