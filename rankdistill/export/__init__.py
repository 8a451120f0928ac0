"""Hand-over: samples of a build in the formats of trainers that people already use."""
