extension Timestamp {
    private static let millisecondsPerDay: Int64 = 86_400_000

    /// Reads an XML Schema 1.1 `dateTimeStamp` (what VC Data Model 2.0 §4.9 asks for) of a four-digit year, which is the
    /// strict part of RFC 3339: upper-case `T`, an offset (`Z` or up to ±14:00), real calendar dates.
    ///
    /// `24:00:00` is the midnight that ends a day; a leap second (`:60`) is refused. Digits of the fraction beyond the
    /// millisecond are dropped. At most 64 characters.
    /// - Throws: `EncodingError` with `.malformed` or `.tooLarge`.
    public init(rfc3339 text: String) throws(EncodingError) {
        guard text.utf8.count <= 64 else {
            throw EncodingError(.tooLarge, "a date and time has at most 64 characters")
        }
        var scanner = DateScanner(characters: [UInt8](text.utf8))
        let year = try scanner.number(digits: 4, in: 0...9999)
        try scanner.expect("-")
        let month = try scanner.number(digits: 2, in: 1...12)
        try scanner.expect("-")
        let day = try scanner.number(digits: 2, in: 1...Calendar.days(inMonth: month, year: year))
        try scanner.expect("T")
        let hour = try scanner.number(digits: 2, in: 0...24)
        try scanner.expect(":")
        let minute = try scanner.number(digits: 2, in: 0...59)
        try scanner.expect(":")
        let second = try scanner.number(digits: 2, in: 0...59)
        let fraction = try scanner.fraction()
        guard hour < 24 || (minute == 0 && second == 0 && fraction.isZero) else {
            throw EncodingError(.malformed, "hour 24 is written only as 24:00:00")
        }
        let offsetMinutes = try scanner.offsetMinutes()
        try scanner.expectEnd()
        let days = Calendar.daysSince1970(year: year, month: month, day: day)
        let seconds = hour * 3600 + (minute - offsetMinutes) * 60 + second
        millisecondsSince1970 = days * Self.millisecondsPerDay + seconds * 1000 + fraction.milliseconds
    }

    /// `2026-11-21T00:00:00Z`, with three digits of milliseconds only where they are not zero.
    ///
    /// Years outside 0000 … 9999 are written with a sign or more digits as XML Schema 1.1 has them, which RFC 3339 and
    /// ``init(rfc3339:)`` do not read.
    public var rfc3339: String {
        let (days, milliseconds) = floorDivide(millisecondsSince1970, by: Self.millisecondsPerDay)
        let (year, month, day) = Calendar.date(daysSince1970: days)
        var text: [UInt8] = []
        text.reserveCapacity(24)
        if year < 0 { text.append(UInt8(ascii: "-")) }
        if year.magnitude > 9999 {
            text.append(contentsOf: String(year.magnitude).utf8)
        } else {
            appendDigits(Int64(year.magnitude), 4, to: &text)
        }
        text.append(UInt8(ascii: "-"))
        appendDigits(month, 2, to: &text)
        text.append(UInt8(ascii: "-"))
        appendDigits(day, 2, to: &text)
        text.append(UInt8(ascii: "T"))
        appendDigits(milliseconds / 3_600_000, 2, to: &text)
        text.append(UInt8(ascii: ":"))
        appendDigits(milliseconds / 60_000 % 60, 2, to: &text)
        text.append(UInt8(ascii: ":"))
        appendDigits(milliseconds / 1000 % 60, 2, to: &text)
        if milliseconds % 1000 != 0 {
            text.append(UInt8(ascii: "."))
            appendDigits(milliseconds % 1000, 3, to: &text)
        }
        text.append(UInt8(ascii: "Z"))
        return String(decoding: text, as: UTF8.self)
    }

    private func appendDigits(_ value: Int64, _ count: Int, to text: inout [UInt8]) {
        var divisor: Int64 = 1
        for _ in 1..<count { divisor *= 10 }
        while divisor > 0 {
            text.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / divisor % 10))
            divisor /= 10
        }
    }
}

/// The proleptic Gregorian calendar, by Howard Hinnant's algorithms (eras of 400 years that start on 1 March).
private enum Calendar {
    private static let daysPerEra: Int64 = 146_097

    static func days(inMonth month: Int64, year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    static func daysSince1970(year: Int64, month: Int64, day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let (era, yearOfEra) = floorDivide(shifted, by: 400)
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * daysPerEra + dayOfEra - 719_468
    }

    static func date(daysSince1970 days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = floorDivide(days + 719_468, by: daysPerEra)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}

/// Reads the fixed fields of a date and time.
private struct DateScanner {
    let characters: [UInt8]
    var index = 0

    mutating func number(digits: Int, in range: ClosedRange<Int64>) throws(EncodingError) -> Int64 {
        var value: Int64 = 0
        let start = index
        for _ in 0..<digits {
            guard let digit = digit() else {
                throw EncodingError(.malformed, "a date and time needs \(digits) digits at character \(start + 1)")
            }
            value = value * 10 + digit
        }
        guard range.contains(value) else {
            throw EncodingError(
                .malformed,
                "\(value) at character \(start + 1) of a date and time is not in \(range.lowerBound) to \(range.upperBound)"
            )
        }
        return value
    }

    mutating func expect(_ character: Unicode.Scalar) throws(EncodingError) {
        guard index < characters.count, characters[index] == UInt8(ascii: character) else {
            throw EncodingError(.malformed, "a date and time needs `\(character)` at character \(index + 1)")
        }
        index += 1
    }

    /// The digits after a dot, where there is one: whole milliseconds, and whether every digit is zero.
    mutating func fraction() throws(EncodingError) -> (milliseconds: Int64, isZero: Bool) {
        guard index < characters.count, characters[index] == UInt8(ascii: ".") else { return (0, true) }
        index += 1
        var milliseconds: Int64 = 0
        var weight: Int64 = 100
        var isZero = true
        let start = index
        while let digit = digit() {
            milliseconds += digit * weight
            weight /= 10
            if digit != 0 { isZero = false }
        }
        guard index > start else { throw EncodingError(.malformed, "a fraction of a second needs at least one digit") }
        return (milliseconds, isZero)
    }

    /// Minutes east of UTC.
    mutating func offsetMinutes() throws(EncodingError) -> Int64 {
        guard index < characters.count else {
            throw EncodingError(.malformed, "a date and time needs an offset: `Z`, or `+01:00` for example")
        }
        let sign: Int64
        switch characters[index] {
        case UInt8(ascii: "Z"):
            index += 1
            return 0
        case UInt8(ascii: "+"): sign = 1
        case UInt8(ascii: "-"): sign = -1
        default: throw EncodingError(.malformed, "a date and time needs an offset at character \(index + 1)")
        }
        index += 1
        let hours = try number(digits: 2, in: 0...14)
        try expect(":")
        let minutes = try number(digits: 2, in: 0...(hours == 14 ? 0 : 59))
        return sign * (hours * 60 + minutes)
    }

    func expectEnd() throws(EncodingError) {
        guard index == characters.count else {
            throw EncodingError(.malformed, "a date and time has ended before character \(index + 1)")
        }
    }

    private mutating func digit() -> Int64? {
        guard index < characters.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(characters[index]) else {
            return nil
        }
        defer { index += 1 }
        return Int64(characters[index] - UInt8(ascii: "0"))
    }
}
