"""What can be trained: one task a file, each a factory from config to `Task`."""
