"""What reads the lesson store, runs and checks notebooks, and keeps the ledger of claims."""
