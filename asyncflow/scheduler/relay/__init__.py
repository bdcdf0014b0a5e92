"""The relay: fetches messages, has them delivered, settles the outcomes."""
