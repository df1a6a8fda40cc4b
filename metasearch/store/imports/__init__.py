"""Results that others recorded, as sweeps of the store: each reader makes ``earlier.Results``, which becomes one log."""
