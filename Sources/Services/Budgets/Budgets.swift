// Budgets: the accounting node of delegations.
