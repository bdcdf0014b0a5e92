"""The loops: threads that step, wait, stop and report, and what wakes them."""
