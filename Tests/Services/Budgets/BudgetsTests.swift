// Tests of Budgets.
