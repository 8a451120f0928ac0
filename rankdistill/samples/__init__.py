"""The kernels: ranked lists in, indices, weights and probabilities out. No engine here."""
