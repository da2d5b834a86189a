import CanonicalJSON
import TestSupport
import Testing

@Suite("JSON values, objects and problem details")
struct ValueTests {
    @Test("Members keep their order; setting replaces in place, nil removes")
    func objects() {
        var object: JSONObject = ["b": 1, "a": 2, "b": 3]
        #expect(object.keys == ["b", "a"])
        #expect(object["b"] == 3)
        object["c"] = nil
        object["b"] = "x"
        object["n"] = .some(nil)
        #expect(text(object.serialized()) == #"{"b":"x","a":2,"n":null}"#)
        #expect(object.contains("n") && !object.contains("c"))
        #expect(object.removeValue(forKey: "b") == "x")
        #expect(object.removeValue(forKey: "b") == nil)
        object["a"] = nil
        #expect(object.keys == ["n"] && object.count == 1 && !object.isEmpty)
        #expect(object.map(\.key) == ["n"])
    }

    @Test("An object behaves like a list of pairs at every size", arguments: [31, 32] as [UInt64])
    func objectModel(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var object = JSONObject()
        var model: [(key: String, value: JSONValue)] = []
        for step in 0..<3000 {
            let names = ["e\u{301}", "\u{E9}"] + (0..<38).map { "k\($0)" }
            let key = names[Int.random(in: 0..<names.count, using: &random)]
            let position = model.firstIndex { $0.key.utf8.elementsEqual(key.utf8) }
            #expect(object[key] == position.map { model[$0].value })
            // Grows for a while, then shrinks, across the size where the index starts.
            if Int.random(in: 0..<100, using: &random) < (step / 500 % 2 == 0 ? 80 : 25) {
                object[key] = JSONValue(step)
                if let position {
                    model[position].value = JSONValue(step)
                } else {
                    model.append((key, JSONValue(step)))
                }
            } else {
                let removed = object.removeValue(forKey: key)
                #expect(removed == position.map { model[$0].value })
                if let position { model.remove(at: position) }
            }
            #expect(object.count == model.count)
        }
        #expect(object.elementsEqual(model) { $0.key.utf8.elementsEqual($1.key.utf8) && $0.value == $1.value })
    }

    @Test("Equality is by code units and numeric value, without regard to order")
    func equality() {
        #expect(JSONValue.string("\u{E9}") != .string("e\u{301}"))
        #expect((["a": 1, "b": [2]] as JSONValue) == ["b": [2], "a": 1])
        #expect((["a": 1] as JSONValue) != ["a": 1, "b": 2])
        #expect((["a": 1, "c": 2] as JSONValue) != ["a": 1, "b": 2])
        #expect((["\u{E9}": 1] as JSONValue) != ["e\u{301}": 1])
        #expect(([1, 2] as JSONValue) != [2, 1])
        #expect(JSONValue.integer(1) == .double(1) && JSONValue.double(1.5) != .integer(1))
        #expect(JSONValue.unsigned(5) == .integer(5) && JSONValue.unsigned(.max) != .integer(-1))
        #expect(JSONValue.unsigned(1 << 63) == .double(0x1p63) && JSONValue.unsigned(1 << 63 + 1) != .double(0x1p63))
        #expect(JSONValue.double(.nan) != .double(.nan))
        #expect(JSONValue.null != .bool(false) && JSONValue.string("1") != .integer(1))
    }

    @Test("Accessors read their type only")
    func accessors() {
        let value: JSONValue = ["s": "x", "i": -1, "u": 7, "d": 1.5, "b": true, "a": [1], "o": [:], "n": nil]
        #expect(value["s"]?.stringValue == "x" && value["i"]?.stringValue == nil)
        #expect(value["i"]?.int64Value == -1 && value["i"]?.uint64Value == nil)
        #expect(value["u"]?.uint64Value == 7 && value["u"]?.doubleValue == 7)
        #expect(value["d"]?.doubleValue == 1.5 && value["d"]?.int64Value == nil)
        #expect(value["b"]?.boolValue == true && value["s"]?.boolValue == nil)
        #expect(value["a"]?[0] == 1 && value["a"]?[1] == nil && value["a"]?[-1] == nil && value["s"]?[0] == nil)
        #expect(value["o"]?.objectValue == JSONObject() && value["a"]?.arrayValue?.count == 1)
        #expect(value["n"]?.isNull == true && value["x"] == nil && value["a"]?["x"] == nil)
        #expect(JSONValue.integer(1 << 60 + 1).doubleValue == nil)
    }

    @Test("Throwing accessors name the member and what it must be")
    func throwingAccessors() throws {
        let object: JSONObject = ["amount": "5", "n": nil, "list": ["a", 1], "names": ["a", "b"], "big": 5, "f": 1.5]
        #expect(throws: JSONError(.type, "`amount` must be an unsigned integer, not a string")) {
            try object.uint64("amount")
        }
        #expect(throws: JSONError(.missing, "`id` is missing; it must be a string")) { try object.string("id") }
        #expect(throws: JSONError(.type, "`n` must be a boolean, not null")) { try object.bool("n") }
        #expect(throws: JSONError(.type, "`list` must be an array of strings")) { try object.strings("list") }
        #expect(throws: JSONError(.type, "`f` must be an unsigned integer")) { try object.uint64("f") }
        #expect(throws: JSONError(.type, "`big` must be an object, not a number")) { try object.object("big") }
        #expect(throws: JSONError(.missing, "`id` is missing")) { try object.value("id") }
        #expect(throws: JSONError(.type, "the request body must be an object, not an array")) {
            try JSONValue.array([]).requireObject("the request body")
        }
        #expect(try object.strings("names") == ["a", "b"])
        #expect(try object.uint64("big") == 5 && object.int64("big") == 5 && object.double("f") == 1.5)
        #expect(try object.optionalString("n") == nil && object.optionalString("none") == nil)
        #expect(try object.optionalUInt64("big") == 5 && object.optionalStrings("names") == ["a", "b"])
        #expect(throws: JSONError.self) { try object.optionalInt64("amount") }
        #expect(throws: JSONError.self) { try object.optionalBool("amount") }
        #expect(throws: JSONError.self) { try object.optionalObject("names") }
        #expect(throws: JSONError.self) { try object.optionalArray("amount") }
        #expect(throws: JSONError.self) { try object.optionalDouble("amount") }
        let value = JSONValue.object(object)
        #expect(try value.string("amount") == "5" && value.array("list").count == 2)
        #expect(throws: JSONError.self) { try JSONValue.null.string("amount") }
    }

    @Test("Writes compactly, and legibly for people")
    func writing() throws {
        let value: JSONValue = ["a": [1, -2, 3.5, true, false, nil], "b": [:], "c": [], "d": ["e": "f\n"]]
        #expect(text(value.serialized()) == #"{"a":[1,-2,3.5,true,false,null],"b":{},"c":[],"d":{"e":"f\n"}}"#)
        let pretty = """
            {
              "a": [
                1,
                -2,
                3.5,
                true,
                false,
                null
              ],
              "b": {},
              "c": [],
              "d": {
                "e": "f\\n"
              }
            }
            """
        #expect(value.prettyPrinted() == pretty)
        #expect(text(JSONValue.integer(.min).serialized()) == "-9223372036854775808")
    }

    @Test("Problem details are written and read as RFC 9457 has them")
    func problems() throws {
        let problem = ProblemDetails(
            code: "payment-required",
            title: "Payment required",
            status: 402,
            detail: "This call costs 2 sat.",
            extensions: ["price": ["amount": "2", "unit": "sat"], "status": 200, "detail": "other"]
        )
        let body = problem.serialized()
        #expect(
            text(body)
                == #"{"type":"urn:mintmark:problem:payment-required","title":"Payment required","status":402,"#
                + #""detail":"This call costs 2 sat.","code":"payment-required","price":{"amount":"2","unit":"sat"}}"#
        )
        let read = ProblemDetails(json: try JSONValue.parse(body).requireObject(), responseStatus: 500)
        #expect(read.status == 402 && read.code == "payment-required" && read.detail == problem.detail)
        #expect(read.extensions == ["price": ["amount": "2", "unit": "sat"]])
        // Without detail an extension of that name must not take its place.
        let bare = ProblemDetails(code: "c", title: "t", status: 400, extensions: ["detail": 1])
        #expect(bare.json["detail"] == nil)
        // RFC 9457 §3.1: members of the wrong type are ignored.
        let odd = ProblemDetails(json: ["type": 1, "status": "x", "title": nil], responseStatus: 503)
        #expect(odd.type == "about:blank" && odd.status == 503 && odd.title == "" && odd.code == "")
        #expect(ProblemDetails(json: ["status": 99_999], responseStatus: 503).status == 503)
    }
}
