"""Turn fine-ranking logs into training samples for a light recall or pre-rank student."""

__version__ = "0.1.0"
