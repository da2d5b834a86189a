public import Gateway
public import Paywall

/// Where the gateway gets rates from (`gateway.rateSource` and what goes with it).
public struct RateSettings: Sendable {
    public var source: any RateSource
    public var bounds: RateBounds

    /// - Returns: nil where nothing is set: the table of `mint.rates` is all there is.
    init?(_ values: ConfigurationValues) throws(ConfigurationError) {
        bounds = RateBounds(
            maximumAgeSeconds: try values.number(.rateMaximumAgeSeconds, in: 10...86_400) ?? 600,
            maximumChangePercent: UInt64(try values.number(.rateMaximumChangePercent, in: 1...1000) ?? 20)
        )
        let units = values.list(.rateUnits).filter { !$0.isEmpty }
        guard let place = values.text(.rateSource) else {
            guard units.isEmpty else {
                throw ConfigurationError("gateway.rateUnits needs gateway.rateSource: an address or the path of a file")
            }
            return nil
        }
        do {
            let document = try RateDocument(units)
            if place.hasPrefix("/") {
                source = FileRateSource(path: place, document: document)
            } else if place.hasPrefix("https://") || place.hasPrefix("http://") {
                source = try HTTPRateSource(url: place, document: document)
            } else {
                throw ConfigurationError(
                    "gateway.rateSource is the absolute path of a file, or an https address (http on loopback), not \(place)"
                )
            }
        } catch let error as PriceError {
            throw ConfigurationError("gateway.rateSource, gateway.rateUnits: \(error.message)")
        } catch let error as ConfigurationError {
            throw error
        } catch {
            throw ConfigurationError("gateway.rateSource: \(error)")
        }
    }
}
