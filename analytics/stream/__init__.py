"""From the inbox to stays: claim, identify, store, place, fold, write, in one transaction. ARCHITECTURE.md, steps 4 to 8."""
