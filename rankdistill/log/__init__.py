"""The door: presets, column mapping, validation, and a simulator of logs."""
