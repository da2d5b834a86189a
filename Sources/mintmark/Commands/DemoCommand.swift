import ArgumentParser

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "See the main job done, with two real nodes on this machine and TEST MONEY.",
        discussion: """
            Two node processes, a Lightning simulator and an ordinary HTTP service are started on loopback, in a \
            temporary folder that is removed at the end. Each step says what happens and the command that does the \
            same by hand. With --json each step is one object: step, ok, milliseconds and its figures. The exit \
            status is 1 where a step failed.
              mintmark demo
              mintmark demo --json
              mintmark demo --keep      leave the folder, to look at
            """
    )

    @Flag(help: "Print one JSON object a step.") var json = false
    @Flag(help: "Leave the folder with the nodes' data.") var keep = false

    func run() async throws {
        let demo: Demo
        do {
            demo = try await Demo(json: json, keeps: keep)
        } catch {
            Failure.end(error, json: json)
        }
        guard await demo.run() else { throw ExitCode.failure }
    }
}
