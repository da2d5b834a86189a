import Encodings
import Foundation
import TestSupport
import Testing

@Suite("Timestamp")
struct TimestampTests {
    @Test(
        "Reads dateTimeStamps",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2026-11-21T00:00:00Z", 1_795_219_200_000),
            // RFC 3339 §5.8.
            ("1985-04-12T23:20:50.52Z", 482_196_050_520), ("1996-12-19T16:39:57-08:00", 851_042_397_000),
            ("1937-01-01T12:00:27.87+00:20", -1_041_337_172_130),
            ("2000-02-29T12:00:00+14:00", 951_775_200_000), ("2024-02-29T00:00:00-14:00", 1_709_215_200_000),
            ("1969-12-31T23:59:59.999Z", -1), ("1969-12-31T23:59:59.9999999Z", -1),
            ("2010-01-01T24:00:00Z", 1_262_390_400_000),
            ("2010-01-01T24:00:00.000Z", 1_262_390_400_000), ("2020-01-01T00:00:00.1Z", 1_577_836_800_100),
            ("2020-01-01T00:00:00.0019Z", 1_577_836_800_001), ("0000-01-01T00:00:00Z", -62_167_219_200_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999), ("2020-01-01T00:00:00-00:00", 1_577_836_800_000),
        ] as [(String, Int64)]
    )
    func reads(text: String, milliseconds: Int64) throws {
        #expect(try Timestamp(rfc3339: text).millisecondsSince1970 == milliseconds)
    }

    @Test(
        "Refuses what is no dateTimeStamp",
        arguments: [
            "", "2026-11-21", "2026-11-21T00:00:00", "2026-11-21 00:00:00Z", "2026-11-21t00:00:00Z",
            "2026-11-21T00:00:00z", "2026-11-21T00:00Z", "2026-11-21T00:00:00.Z", "2026-11-21T00:00:00,5Z",
            "2026-11-21T00:00:00+0100", "2026-11-21T00:00:00+01", "2026-11-21T00:00:00+15:00",
            "2026-11-21T00:00:00+14:01", "2026-11-21T00:00:00+01:60", "2026-11-21T00:00:00Z ",
            " 2026-11-21T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-11-31T00:00:00Z",
            "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T25:00:00Z",
            "2026-01-01T24:00:01Z", "2026-01-01T24:01:00Z", "2026-01-01T24:00:00.0001Z", "2026-01-01T00:60:00Z",
            "2026-06-30T23:59:60Z", "-2026-01-01T00:00:00Z", "12026-01-01T00:00:00Z", "+2026-01-01T00:00:00Z",
            "2026-1-01T00:00:00Z", "２０２６-01-01T00:00:00Z", "2026-01-01T00:00:00Z\0", "2026-11-21T00:00:00ZZ",
        ]
    )
    func refuses(text: String) {
        #expect(code { _ = try Timestamp(rfc3339: text) } == .malformed)
    }

    @Test("A fraction without end is refused by its length")
    func longFraction() {
        let text = "2026-01-01T00:00:00." + String(repeating: "1", count: 1_000_000) + "Z"
        #expect(code { _ = try Timestamp(rfc3339: text) } == .tooLarge)
    }

    @Test("Writes milliseconds only where there are some")
    func writes() {
        #expect(Timestamp(millisecondsSince1970: 1_795_219_200_000).rfc3339 == "2026-11-21T00:00:00Z")
        #expect(Timestamp(millisecondsSince1970: 1_795_219_200_007).rfc3339 == "2026-11-21T00:00:00.007Z")
        #expect(Timestamp(millisecondsSince1970: -1).rfc3339 == "1969-12-31T23:59:59.999Z")
        #expect("\(Timestamp(secondsSince1970: 0))" == "1970-01-01T00:00:00Z")
        #expect(Timestamp(millisecondsSince1970: 253_402_300_800_000).rfc3339 == "10000-01-01T00:00:00Z")
        #expect(Timestamp(millisecondsSince1970: -62_167_219_200_001).rfc3339 == "-0001-12-31T23:59:59.999Z")
    }

    @Test("Agrees with Foundation's calendar on random instants, and reads back what it writes")
    func agreesWithFoundation() throws {
        var random = SeededRandom(seed: 9)
        for _ in 0..<2000 {
            let instant = Timestamp(
                millisecondsSince1970: .random(in: -62_135_596_800_000..<253_402_300_800_000, using: &random)
            )
            #expect(try Timestamp(rfc3339: instant.rfc3339) == instant)
            let seconds = instant.secondsSince1970
            let whole = Timestamp(secondsSince1970: seconds)
            #expect(whole <= instant && instant.milliseconds(since: whole) < 1000)
            // Foundation switches to the Julian calendar before 1582.
            if seconds > -12_219_292_800 {
                #expect(whole.rfc3339 == Date(timeIntervalSince1970: Double(seconds)).ISO8601Format())
            }
        }
    }

    @Test("The days around each end of February and of the year are read and written alike for four eras")
    func calendar() throws {
        for year in 0..<1600 {
            let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            let digits = String(repeating: "0", count: 4 - "\(year)".count) + "\(year)"
            var previous: Timestamp?
            for (date, daysBefore) in [("02-28", 0), (isLeap ? "02-29" : "03-01", 1), ("12-30", 0), ("12-31", 1)] {
                let text = "\(digits)-\(date)T00:00:00Z"
                let instant = try Timestamp(rfc3339: text)
                #expect(instant.rfc3339 == text)
                if let previous, daysBefore == 1 { #expect(instant.milliseconds(since: previous) == 86_400_000) }
                previous = instant
            }
        }
    }

    @Test("Arithmetic saturates at the ends and never traps")
    func saturates() {
        let end = Timestamp(millisecondsSince1970: .max)
        let start = Timestamp(millisecondsSince1970: .min)
        #expect(end.adding(milliseconds: 1) == end)
        #expect(start.adding(milliseconds: -1) == start)
        #expect(end.adding(seconds: .max) == end)
        #expect(start.adding(seconds: .min) == start)
        #expect(Timestamp(secondsSince1970: .max) == end)
        #expect(Timestamp(secondsSince1970: .min) == start)
        #expect(end.milliseconds(since: start) == .max)
        #expect(start.milliseconds(since: end) == .min)
        #expect(end.rfc3339.hasPrefix("292278994-08-17T07:12:55"))
        #expect(start.rfc3339.hasPrefix("-292275055-05-16T16:47:04"))
        #expect(Timestamp(millisecondsSince1970: -1).secondsSince1970 == -1)
        #expect(Timestamp(secondsSince1970: 10).adding(seconds: -3) == Timestamp(secondsSince1970: 7))
        #expect(WallClock.stopped(at: end).now() == end)
    }
}
