// Delegation: who may act for whom, with how much.
