"""The smallest script; docs/script.md walks through it."""
