// Tests of Delegation.
