/// The header names by which `mintmark pay` hands a call to the node and gets its answer back.
public enum PayHeader {
    // To the node.
    public static let url = "Mintmark-Pay-URL"
    public static let method = "Mintmark-Pay-Method"
    /// The most the call may cost, such as `5sat`.
    public static let max = "Mintmark-Pay-Max"
    public static let agent = "Mintmark-Pay-Agent"
    /// The CID of the delegation that the agent acts on.
    public static let delegation = "Mintmark-Pay-Delegation"
    /// The only way it may be paid: `cashu`, `l402`, `payment` or `x402`.
    public static let via = "Mintmark-Pay-Via"
    /// The most to deposit in a session, such as `1000sat`, in the unit of the most that the call may cost.
    public static let session = "Mintmark-Pay-Session"
    /// `true`: nothing is paid; the answer says what would be.
    public static let dryRun = "Mintmark-Pay-Dry-Run"
    /// `true`: the agent also signs in the Web Bot Auth profile.
    public static let webBotAuth = "Mintmark-Pay-Web-Bot-Auth"
    /// In seconds.
    public static let timeout = "Mintmark-Pay-Timeout"
    /// `Name: value`, once for each header of the call; and for each header of the answer.
    public static let header = "Mintmark-Pay-Header"
    // From the node.
    /// The service's own status.
    public static let status = "Mintmark-Pay-Status"
    /// The payment's id, absent where the call was free.
    public static let payment = "Mintmark-Pay-Payment"
    /// What the call cost, fees included, such as `2sat`; absent where it was free.
    public static let cost = "Mintmark-Pay-Cost"
}
