"""The command line: one module per family of commands, `main` for what they share at the outside."""
